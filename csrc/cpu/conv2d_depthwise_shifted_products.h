// Products of contiguous maps straight from memory (conv2d_depthwise_shifted_map.h), summed in vectors.
#pragma once

#include "conv2d_depthwise_products.h"
#include "conv2d_depthwise_shifted_map.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class ShiftedProducts {
 public:
  using A = Accumulate<T>;

  static constexpr int64_t kChannels = lanes<A>;  // of a block, at most

  explicit ShiftedProducts(const DepthwiseProducts<T>& operands)
      : operands_(operands),
        maps_(operands.shape, operands.input.stride),
        is_dense_(
            is_dense(operands.grad_output.stride, operands.shape.groups, operands.shape.output)) {}

  // Scratch memory of one thread: a copy of the input's map, and the sums of [channel][tap], a vector each.
  struct Scratch {
    T* copy;
    A* sums;
  };
  Scratch take(Arena& arena) const {
    return {maps_.take(arena), arena.take<A>(kChannels * 9 * lanes<A>)};
  }

  void add(const ProductBlock& block, const Scratch& scratch, const TapSums<A>& to) const {
    fill_run(scratch.sums, A(0), block.count * 9 * lanes<A>);
    for (int64_t image = block.images.first; image < block.images.last; ++image) {
      for (int64_t i = 0; i < block.count; ++i)
        add_map(image, block.channel + i, scratch.copy, scratch.sums + i * 9 * lanes<A>);
    }
    for (int64_t i = 0; i < block.count; ++i) {
      for (int64_t tap = 0; tap < 9; ++tap)
        to.data[tap * to.row + i] += sum_of<A>(load(scratch.sums + (i * 9 + tap) * lanes<A>));
    }
  }

 private:
  void add_map(int64_t image, int64_t channel, T* copy, A* totals) const {
    MapIndex index(0, operands_.shape.groups);
    index.image = image, index.channel = channel;
    const T* const map = maps_.map(operands_.input.data, index, copy);
    const Strides4& stride = operands_.grad_output.stride;
    const T* const gradients = operands_.grad_output.data + at(stride, image, channel, 0, 0);
    is_dense_
        ? add_products(map, AdjacentGradients{gradients, maps_.size}, totals)
        : add_products(map,
                       ScatteredGradients{gradients, maps_.size, operands_.shape.output.w, stride},
                       totals);
  }

  // Vectors of a map's gradients, zeros behind the last.
  struct AdjacentGradients {
    const T* data;
    int64_t size;

    CNNOPS_INLINE Vec<A> at(int64_t i) const {
      if (i + lanes<A> > size) return load_partial(data + i, size - i);
      fetch_page_ahead(data + i);
      return load(data + i);
    }
  };
  struct ScatteredGradients {
    const T* data;
    int64_t size, width;
    Strides4 stride;

    Vec<A> at(int64_t i) const {
      Vec<A> gradients{};
      for (int64_t l = 0; l < smaller(lanes<A>, size - i); ++l) {
        const int64_t pixel = i + l;
        gradients[l] = load_scalar(data + pixel / width * stride.h + pixel % width * stride.w);
      }
      return gradients;
    }
  };

  template <class Gradients>
  __attribute__((noinline)) void add_products(const T* map, Gradients gradients, A* totals) const {
    Vec<A> sums[9] = {};
    maps_.visit(map, [&](int64_t i, const Vec<A>* samples) __attribute__((always_inline)) {
      const Vec<A> gradient = gradients.at(i);
#pragma GCC unroll 9
      for (int t = 0; t < 9; ++t) sums[t] = multiply_add<A>(samples[t], gradient, sums[t]);
    });
#pragma GCC unroll 9
    for (int t = 0; t < 9; ++t) store(totals + t * lanes<A>, load(totals + t * lanes<A>) + sums[t]);
  }

  const DepthwiseProducts<T> operands_;
  const ShiftedMap<T> maps_;
  const bool is_dense_;
};

}  // namespace cnnops::CNNOPS_TARGET
