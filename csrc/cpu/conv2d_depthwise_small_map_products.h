// Products of small contiguous maps, transposed.
#pragma once

#include "conv2d_depthwise_pixel_products.h"
#include "conv2d_depthwise_square_products.h"
#include "conv2d_depthwise_transposed.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class SmallMapProducts {
 public:
  using A = Accumulate<T>;

  static constexpr int64_t kChannels = kTransposedChannels;  // of a block, at most

  explicit SmallMapProducts(const DepthwiseProducts<T>& operands) : operands_(operands) {}

  struct Scratch {
    TransposedMap<A> input, grad_output;
    typename SquareProducts<A>::Scratch square;
  };
  Scratch take(Arena& arena) const {
    return {{operands_.shape.input, arena},
            {operands_.shape.output, arena},
            SquareProducts<A>::take(arena)};
  }

  void add(const ProductBlock& block, const Scratch& scratch, const TapSums<A>& to) const {
    const DepthwiseProducts<A> transposed{operands_.shape, operands_.lattice,
                                          scratch.input.values(), scratch.grad_output.values()};
    if (SquareProducts<A>::supports(transposed)) {
      add(SquareProducts<A>(transposed), scratch.square, block, scratch, to);
    } else {
      add(PixelProducts<A>(transposed), {}, block, scratch, to);
    }
  }

 private:
  template <class Products>
  void add(const Products& products, const typename Products::Scratch& own,
           const ProductBlock& block, const Scratch& scratch, const TapSums<A>& to) const {
    const auto load = [&](const Values<T>& from, int64_t image, const TransposedMap<A>& map) {
      map.load(from.data + at(from.stride, image, block.channel, 0, 0), from.stride, block.count);
    };
    for (int64_t image = block.images.first; image < block.images.last; ++image) {
      load(operands_.input, image, scratch.input);
      load(operands_.grad_output, image, scratch.grad_output);
      products.add({{0, 1}, 0, block.count}, own, to);
    }
  }

  const DepthwiseProducts<T> operands_;
};

}  // namespace cnnops::CNNOPS_TARGET
