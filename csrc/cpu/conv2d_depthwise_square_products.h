// Products of 3 x 3 filters with channels in vectors: a tile is one or two rows of gradients by a
// vector of channels, and loads a sample once for all the products it enters.
#pragma once

#include "blocking.h"
#include "conv2d_depthwise_products.h"
#include "conv2d_depthwise_square.h"

namespace cnnops::CNNOPS_TARGET {

// Adjacent gradients of one or two rows, and their samples. Steps are in elements.
template <class T>
struct SquareProduct {
  Range rows;  // of the samples: those inside the input
  int64_t columns, first,
      width;         // gradients; the column of their first sample; the input's columns
  int64_t dilation;  // of columns
  const T* input;    // the first sample, inside or not
  int64_t row_step, tap_step, pixel_stride;
  const T* gradient;
  int64_t gradient_row_step, gradient_step;
};

template <class A, int kRows, int kCount>
struct GradientRegisters {
  Vec<A> of[kRows][kCount];
};
template <class A>
struct TapRegisters {
  Vec<A> sums[3][3];
};

// The products of row kY of the samples of kCount gradients from column q on. Only the first sample
// and the last one may lie outside.
template <int kStep, int kY, class T, class A, int kRows, int kCount>
CNNOPS_INLINE void multiply_samples(const SquareProduct<T>& product, int64_t q,
                                    const GradientRegisters<A, kRows, kCount>& gradients,
                                    TapRegisters<A>& taps) {
  constexpr int kSamples = square_samples(kCount, kStep);
  if (kY < product.rows.first || kY >= product.rows.last) return;
  const int64_t first = product.first + q * kStep * product.dilation;
  const bool has_first = first >= 0;
  const bool has_last = first + (kSamples - 1) * product.dilation < product.width;
  const T* from = product.input + kY * product.row_step + q * product.pixel_stride;
#pragma GCC unroll 16
  for (int x = 0; x < kSamples; ++x, from += product.tap_step) {
    if ((x == 0 && !has_first) || (x == kSamples - 1 && !has_last)) continue;
    const Vec<A> sample = load(from);
#pragma GCC unroll 2
    for (int r = 0; r < kRows; ++r) {
      const int t = kY - r * kStep;
      if (t < 0 || t > 2) continue;
#pragma GCC unroll 16
      for (int i = 0; i < kCount; ++i) {
        const int s = x - i * kStep;
        if (s >= 0 && s <= 2)
          taps.sums[t][s] = multiply_add<A>(sample, gradients.of[r][i], taps.sums[t][s]);
      }
    }
  }
}

template <int kStep, int kRows, int kCount, class T, class A, int... kY>
CNNOPS_INLINE void multiply_gradients(const SquareProduct<T>& product, int64_t q,
                                      TapRegisters<A>& taps, std::integer_sequence<int, kY...>) {
  GradientRegisters<A, kRows, kCount> gradients;
#pragma GCC unroll 2
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < kCount; ++i) {
      gradients.of[r][i] =
          load(product.gradient + r * product.gradient_row_step + (q + i) * product.gradient_step);
    }
  }
  (multiply_samples<kStep, kY>(product, q, gradients, taps), ...);
}

// All columns, kCount at a time, and then fewer.
template <int kStep, int kRows, int kCount, class T, class A>
CNNOPS_INLINE void multiply_columns(const SquareProduct<T>& product, int64_t q,
                                    TapRegisters<A>& taps) {
  using SampleRows = std::make_integer_sequence<int, square_samples(kRows, kStep)>;
  for (; q + kCount <= product.columns; q += kCount)
    multiply_gradients<kStep, kRows, kCount>(product, q, taps, SampleRows{});
  if constexpr (kCount > 1) multiply_columns<kStep, kRows, kCount / 2>(product, q, taps);
}

template <class T>
class SquareProducts {
 public:
  using A = Accumulate<T>;

  static constexpr int64_t kChannels = 1024;  // of a block, at most

  explicit SquareProducts(const DepthwiseProducts<T>& operands) : operands_(operands) {}

  // Whole vectors of adjacent channels; no gradient has two columns of taps outside the input.
  static bool supports(const DepthwiseProducts<T>& operands) {
    const CorrelationAxis& w = operands.lattice.w;
    const Range middle = inside(w.count, w.stride, w.offset + w.dilation, w.source);
    return square_step(operands.lattice) > 0 && operands.shape.groups % lanes<A> == 0 &&
           operands.input.stride.c == 1 && operands.grad_output.stride.c == 1 &&
           middle.first == 0 && middle.last == w.count;
  }

  struct Scratch {};
  Scratch take(Arena&) const { return {}; }

  void add(const ProductBlock& block, const Scratch&, const TapSums<A>& to) const {
    if (square_step(operands_.lattice) == 1) {
      add_blocks<1>(block, to);
    } else {
      add_blocks<2>(block, to);
    }
  }

 private:
  // A sum in registers has at most about kGradients terms, fewer where pixels have many channels:
  // about kElements samples stay in the cache.
  static constexpr int64_t kGradients = 256, kFewestGradients = 64, kElements = 16384;

  template <int kStep>
  void add_blocks(const ProductBlock& block, const TapSums<A>& to) const {
    const CorrelationAxis &h = operands_.lattice.h, &w = operands_.lattice.w;
    const int64_t most = smaller(kGradients, larger(kFewestGradients, kElements / block.count));
    const Blocking columns = blocking(w.count, kGradients / kSquareRows, 1);
    const Blocking rows = blocking(h.count, larger<int64_t>(1, most / columns.size), kSquareRows);
    for (int64_t image = block.images.first; image < block.images.last; ++image) {
      for (int64_t p = 0; p < h.count; p += rows.size) {
        for (int64_t q = 0; q < w.count; q += columns.size) {
          const Range row_range{p, smaller(p + rows.size, h.count)};
          const int64_t count = smaller(columns.size, w.count - q);
          for (int64_t c = 0; c < block.count; c += lanes<A>) {
            add_rows<kStep>(image, block.channel + c, row_range, {q, q + count},
                            {to.data + c, to.row});
          }
        }
      }
    }
  }

  // A vector of channels.
  template <int kStep>
  __attribute__((noinline)) void add_rows(int64_t image, int64_t channel, Range rows, Range columns,
                                          const TapSums<A>& to) const {
    TapRegisters<A> taps = {};
    int64_t p = rows.first;
    for (; p + 2 <= rows.last; p += 2)
      multiply_columns<kStep, 2, kSquarePixels>(product<kStep>(image, channel, p, 2, columns), 0,
                                                taps);
    if (p < rows.last)
      multiply_columns<kStep, 1, kSquarePixels>(product<kStep>(image, channel, p, 1, columns), 0,
                                                taps);
#pragma GCC unroll 16
    for (int t = 0; t < 9; ++t) {
      A* const sum = to.data + t * to.row;
      store(sum, load(sum) + taps.sums[t / 3][t % 3]);
    }
  }

  template <int kStep>
  CNNOPS_INLINE SquareProduct<T> product(int64_t image, int64_t channel, int64_t row, int row_count,
                                         Range columns) const {
    const CorrelationAxis &h = operands_.lattice.h, &w = operands_.lattice.w;
    const Values<T>&input = operands_.input, &grad = operands_.grad_output;
    const int64_t y = row * h.stride + h.offset, x = columns.first * w.stride + w.offset;
    return {.rows = inside(square_samples(row_count, kStep), h.dilation, y, h.source),
            .columns = columns.last - columns.first,
            .first = x,
            .width = w.source,
            .dilation = w.dilation,
            .input = input.data + at(input.stride, image, channel, y, x),
            .row_step = h.dilation * input.stride.h,
            .tap_step = w.dilation * input.stride.w,
            .pixel_stride = w.stride * input.stride.w,
            .gradient = grad.data + at(grad.stride, image, channel, row, columns.first),
            .gradient_row_step = grad.stride.h,
            .gradient_step = grad.stride.w};
  }

  const DepthwiseProducts<T> operands_;
};

}  // namespace cnnops::CNNOPS_TARGET
