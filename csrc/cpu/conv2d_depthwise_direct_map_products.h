// Products of contiguous maps straight from memory, summed in vectors: Maps is a ShiftedMap or a HalvedMap.
#pragma once

#include "conv2d_depthwise_halved_map.h"
#include "conv2d_depthwise_products.h"
#include "conv2d_depthwise_shifted_map.h"

namespace cnnops::CNNOPS_TARGET {

template <class T, class Maps>
class DirectMapProducts {
 public:
  using A = Accumulate<T>;

  static constexpr int64_t kChannels = lanes<A>;  // of a block, at most

  explicit DirectMapProducts(const DepthwiseProducts<T>& operands)
      : operands_(operands), maps_(operands.shape, operands.input.stride) {}

  // Scratch memory of one thread: a copy of a map, and the sums of [channel][tap], a vector each.
  struct Scratch {
    T* copy;
    A* sums;
  };
  Scratch take(Arena& arena) const {
    return {maps_.take(arena), arena.take<A>(kChannels * kTaps * lanes<A>)};
  }

  void add(const ProductBlock& block, const Scratch& scratch, const TapSums<A>& to) const {
    fill_run(scratch.sums, A(0), block.count * kTaps * lanes<A>);
    for (int64_t image = block.images.first; image < block.images.last; ++image) {
      for (int64_t i = 0; i < block.count; ++i) {
        const MapIndex map(image, block.channel + i, operands_.shape.groups);
        add_map(map, scratch.copy, scratch.sums + i * kTaps * lanes<A>);
      }
    }
    to.add(scratch.sums, block.count, kTaps);
  }

 private:
  static constexpr int64_t kTaps = 9;

  void add_map(const MapIndex& index, T* copy, A* totals) const {
    const Conv2dShape& shape = operands_.shape;
    const Strides4& stride = operands_.grad_output.stride;
    const T* const map = maps_.map(operands_.input.data, index, copy);
    const T* const gradients =
        operands_.grad_output.data + at(stride, index.image, index.channel, 0, 0);
    if (is_dense(stride, shape.groups, shape.output)) {
      add_products(map, AdjacentGradients{gradients}, totals);
    } else {
      add_products(map, ScatteredGradients{gradients, shape.output.w, stride}, totals);
    }
  }

  // Vectors of a map's gradients, zeros behind the first `count`.
  struct AdjacentGradients {
    const T* data;

    CNNOPS_INLINE Vec<A> at(int64_t i, int64_t count) const {
      if (count < lanes<A>) return load_partial(data + i, count);
      fetch_page_ahead(data + i);
      return load(data + i);
    }
  };
  struct ScatteredGradients {
    const T* data;
    int64_t width;
    Strides4 stride;

    Vec<A> at(int64_t i, int64_t count) const {
      Vec<A> gradients{};
      for (int64_t l = 0; l < smaller(lanes<A>, count); ++l) {
        const int64_t row = (i + l) / width, column = (i + l) % width;
        gradients[l] = load_scalar(data + row * stride.h + column * stride.w);
      }
      return gradients;
    }
  };

  template <class Gradients>
  __attribute__((noinline)) void add_products(const T* map, Gradients gradients, A* totals) const {
    Vec<A> sums[kTaps] = {};
    maps_.visit(
        map, [&](int64_t i, int64_t count, const Vec<A>* samples) __attribute__((always_inline)) {
          const Vec<A> gradient = gradients.at(i, count);
#pragma GCC unroll 9
          for (int t = 0; t < kTaps; ++t) sums[t] = multiply_add<A>(samples[t], gradient, sums[t]);
        });
#pragma GCC unroll 9
    for (int t = 0; t < kTaps; ++t)
      store(totals + t * lanes<A>, load(totals + t * lanes<A>) + sums[t]);
  }

  const DepthwiseProducts<T> operands_;
  const Maps maps_;
};

}  // namespace cnnops::CNNOPS_TARGET
