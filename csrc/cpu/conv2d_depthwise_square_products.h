// Products of 3 x 3 filters with channels in vectors: a tile is one or two rows of gradients by a
// vector of channels, and loads a sample once for all the products it enters.
#pragma once

#include "conv2d_depthwise_pixel_products.h"
#include "conv2d_depthwise_square.h"

namespace cnnops::CNNOPS_TARGET {

// Adjacent gradients of one or two rows, and their samples. Steps are in elements.
template <class T>
struct ProductTile {
  Range rows, columns;  // of the samples: those inside the input
  int64_t channels;
  const T* input;  // the first sample, inside or not
  int64_t row_step, tap_step;
  const T* gradient;
  int64_t gradient_row_step, gradient_step;
  int64_t ahead;  // from what is read to what is fetched
};

template <class A, int kRows, int kCount>
struct GradientRegisters {
  Vec<A> of[kRows][kCount];
};
template <class A>
struct TapRegisters {
  Vec<A> sums[3][3];
};

// The products of row kY of a tile's samples with its gradients.
template <int kStep, int kY, class T, class A, int kRows, int kCount>
CNNOPS_INLINE void multiply_samples(const ProductTile<T>& tile, int64_t c,
                                    const GradientRegisters<A, kRows, kCount>& gradients,
                                    TapRegisters<A>& taps) {
  if (!tile.rows.has(kY)) return;
  visit_square<kStep, kY, kRows, kCount>(
      tile.input + kY * tile.row_step + c, tile.tap_step, tile.columns, tile.ahead,
      [&](Vec<A> sample, int r, int i, int t, int s) __attribute__((always_inline)) {
        taps.sums[t][s] = multiply_add<A>(sample, gradients.of[r][i], taps.sums[t][s]);
      });
}

template <int kStep, int kRows, int kCount, class T, class A, int... kY>
CNNOPS_INLINE void multiply_tile(const ProductTile<T>& tile, int64_t c, TapRegisters<A>& taps,
                                 std::integer_sequence<int, kY...>) {
  GradientRegisters<A, kRows, kCount> gradients;
#pragma GCC unroll 2
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < kCount; ++i) {
      const T* from = tile.gradient + r * tile.gradient_row_step + i * tile.gradient_step + c;
      __builtin_prefetch(from + tile.ahead);
      gradients.of[r][i] = load(from);
    }
  }
  (multiply_samples<kStep, kY>(tile, c, gradients, taps), ...);
}

// All channels.
template <int kStep, int kRows, int kCount, class T>
__attribute__((noinline)) void multiply_tile(const ProductTile<T>& tile,
                                             const TapSums<Accumulate<T>>& to) {
  using A = Accumulate<T>;
  using SampleRows = std::make_integer_sequence<int, square_samples(kRows, kStep)>;
  for (int64_t c = 0; c < tile.channels; c += lanes<A>) {
    TapRegisters<A> taps;
#pragma GCC unroll 16
    for (int t = 0; t < 9; ++t) taps.sums[t / 3][t % 3] = load(to.data + t * to.row + c);
    multiply_tile<kStep, kRows, kCount>(tile, c, taps, SampleRows{});
#pragma GCC unroll 16
    for (int t = 0; t < 9; ++t) store(to.data + t * to.row + c, taps.sums[t / 3][t % 3]);
  }
}

// Sums of a few products each, which are added to the totals from time to time: the rounding error of
// a long sum is then that of its parts.
template <class A>
class PartialSums {
 public:
  PartialSums(const TapSums<A>& sums, const TapSums<A>& totals, int64_t channels)
      : sums_(sums), totals_(totals), channels_(channels) {
    clear();
  }

  const TapSums<A>& of() const { return sums_; }

  // So many products have been added to each sum.
  void count(int64_t products) {
    products_ += products;
    if (products_ >= kProducts) flush();
  }

  void flush() {
    for (int64_t t = 0; t < 9; ++t) {
      A* const total = totals_.data + t * totals_.row;
      for (int64_t c = 0; c < channels_; c += lanes<A>)
        store(total + c, load(total + c) + load(sums_.data + t * sums_.row + c));
    }
    clear();
  }

 private:
  static constexpr int64_t kProducts = 256;

  void clear() {
    fill_run(sums_.data, A(0), 9 * sums_.row);
    products_ = 0;
  }

  const TapSums<A> sums_, totals_;
  const int64_t channels_;
  int64_t products_ = 0;
};

template <class T>
class SquareProducts {
 public:
  using A = Accumulate<T>;

  static constexpr int64_t kChannels = 256;  // of a block, at most

  explicit SquareProducts(const DepthwiseProducts<T>& operands) : operands_(operands) {}

  // Whole vectors of channels; no gradient has two columns of taps outside the input.
  static bool supports(const DepthwiseProducts<T>& operands) {
    const CorrelationAxis& w = operands.lattice.w;
    const Range middle = inside(w.count, w.stride, w.offset + w.dilation, w.source);
    return square_step(operands.lattice) > 0 && operands.shape.groups % lanes<A> == 0 &&
           middle.first == 0 && middle.last == w.count;
  }

  // Sums of a few rows: [tap][channel].
  struct Scratch {
    A* sums;
  };
  static Scratch take(Arena& arena) { return {arena.take<A>(9 * kChannels)}; }

  void add(const ProductBlock& block, const Scratch& scratch, const TapSums<A>& to) const {
    if (operands_.input.stride.c != 1 || operands_.grad_output.stride.c != 1)
      return PixelProducts<T>(operands_).add(block, {}, to);
    PartialSums<A> sums({scratch.sums, kChannels}, to, block.count);
    const bool is_dense = square_step(operands_.lattice) == 1;
    for (int64_t image = block.images.first; image < block.images.last; ++image) {
      for (int64_t p = 0; p < operands_.lattice.h.count; p += kSquareRows) {
        const Place place{image, block.channel, block.count, p};
        is_dense ? add_rows<1>(place, sums) : add_rows<2>(place, sums);
      }
    }
    sums.flush();
  }

 private:
  // Channels of a row of gradients.
  struct Place {
    int64_t image, channel, channels, row;
  };

  template <int kStep>
  void add_rows(const Place& place, PartialSums<A>& sums) const {
    if (place.row + kSquareRows <= operands_.lattice.h.count) {
      add_columns<kStep, kSquareRows>(place, sums);
    } else {
      add_columns<kStep, 1>(place, sums);
    }
  }

  template <int kStep, int kRows>
  void add_columns(const Place& place, PartialSums<A>& sums) const {
    int64_t q = 0;
    const auto add = [&]<int kCount>() {
      for (; q + kCount <= operands_.lattice.w.count; q += kCount) {
        multiply_tile<kStep, kRows, kCount>(tile<kStep, kRows, kCount>(place, q), sums.of());
        sums.count(kRows * kCount);
      }
    };
    add.template operator()<kSquarePixels>();
    if constexpr (kSquarePixels > 3) add.template operator()<3>();
    if constexpr (kSquarePixels > 2) add.template operator()<2>();
    add.template operator()<1>();
  }

  template <int kStep, int kRows, int kCount>
  ProductTile<T> tile(const Place& place, int64_t q) const {
    const CorrelationAxis &h = operands_.lattice.h, &w = operands_.lattice.w;
    const Values<T>&input = operands_.input, &grad = operands_.grad_output;
    const int64_t y = place.row * h.stride + h.offset, x = q * w.stride + w.offset;
    return {.rows = inside(square_samples(kRows, kStep), h.dilation, y, h.source),
            .columns = inside(square_samples(kCount, kStep), w.dilation, x, w.source),
            .channels = place.channels,
            .input = input.data + at(input.stride, place.image, place.channel, y, x),
            .row_step = h.dilation * input.stride.h,
            .tap_step = w.dilation * input.stride.w,
            .gradient = grad.data + at(grad.stride, place.image, place.channel, place.row, q),
            .gradient_row_step = grad.stride.h,
            .gradient_step = grad.stride.w,
            .ahead = page_of_pixels<T>(larger<int64_t>(1, grad.stride.w))};
  }

  const DepthwiseProducts<T> operands_;
};

}  // namespace cnnops::CNNOPS_TARGET
