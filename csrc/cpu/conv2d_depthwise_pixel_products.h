// Products of channels_last maps, summed pixel by pixel in vectors of channels. The pixels of a few
// rows are listed, and each vector of channels then takes the whole list at once.
#pragma once

#include "conv2d_depthwise_products.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class PixelProducts {
 public:
  using A = Accumulate<T>;

  static constexpr int64_t kChannels = 1024;  // of a block, at most

  explicit PixelProducts(const DepthwiseProducts<T>& operands) : operands_(operands) {}

  struct Scratch {};
  Scratch take(Arena&) const { return {}; }

  void add(const ProductBlock& block, const Scratch&, const TapSums<A>& to) const {
    const int64_t most = smaller(kPixels, larger(kFewestPixels, kElements / block.count));
    PixelList list;
    for (int64_t image = block.images.first; image < block.images.last; ++image) {
      for (int64_t p = 0; p < operands_.lattice.h.count; ++p) {
        visit_spans(p, [&](Span span) {
          add_origin(image, block.channel, p, span);
          list.spans[list.count++] = span;
          list.pixels += span.pixels;
          if (list.count < kSpans && list.pixels < most) return;
          add_list(list, block.count, to);
          list.count = 0, list.pixels = 0;
        });
      }
    }
    add_list(list, block.count, to);
  }

 private:
  // Largest list. A sum in registers has at most about kPixels terms, fewer where pixels have many
  // channels: about kElements samples stay in the cache.
  static constexpr int64_t kSpans = 64, kPixels = 256, kFewestPixels = 64, kElements = 16384;

  // Pixels side by side all of whose taps lie inside the input, or one pixel.
  struct Span {
    int64_t first, pixels;
    Range rows, columns;      // of taps inside the input
    int64_t input, gradient;  // elements: the first pixel's first tap, inside or not, and gradient
    const T* from[kTapsAtOnce];  // the first pixel's taps of a list
  };
  // What taps outside the input read.
  static constexpr T kZeroPixel[kChannels] = {};

  struct PixelList {
    int64_t count = 0, pixels = 0;
    Span spans[kSpans];
  };

  template <class Visit>
  void visit_spans(int64_t p, Visit visit) const {
    const CorrelationAxis &h = operands_.lattice.h, &w = operands_.lattice.w;
    const Range rows = inside(h.taps, h.dilation, p * h.stride + h.offset, h.source);
    const bool has_all_rows = rows.last - rows.first == h.taps;
    const int64_t reach = w.offset + (w.taps - 1) * w.dilation;
    const int64_t inner = inside(w.count, w.stride, w.offset, w.source).first;
    const int64_t outer = larger(inner, inside(w.count, w.stride, reach, w.source).last);
    const int64_t most = has_all_rows ? kPixels : 1;
    const auto span = [&](int64_t q, int64_t pixels) {
      const Range columns = inside(w.taps, w.dilation, q * w.stride + w.offset, w.source);
      visit({q, pixels, rows, columns, 0, 0, {}});
    };
    for (int64_t q = 0; q < inner; ++q) span(q, 1);
    for (int64_t q = inner; q < outer; q += most) span(q, smaller(most, outer - q));
    for (int64_t q = outer; q < w.count; ++q) span(q, 1);
  }

  void add_origin(int64_t image, int64_t channel, int64_t p, Span& span) const {
    const CorrelationAxis &h = operands_.lattice.h, &w = operands_.lattice.w;
    span.input = at(operands_.input.stride, image, channel, p * h.stride + h.offset,
                    span.first * w.stride + w.offset);
    span.gradient = at(operands_.grad_output.stride, image, channel, p, span.first);
  }

  __attribute__((noinline)) void add_list(PixelList& list, int64_t count,
                                          const TapSums<A>& to) const {
    const CorrelationAxis &h = operands_.lattice.h, &w = operands_.lattice.w;
    const Strides4 &input = operands_.input.stride, &grad = operands_.grad_output.stride;
    const auto offset = [&](int64_t r, int64_t s) {
      return r * h.dilation * input.h + s * w.dilation * input.w;
    };
    visit_taps({0, h.taps}, {0, w.taps}, w.taps, offset, [&](const TapList& taps) {
      for (int64_t i = 0; i < list.count; ++i) find_taps(taps, list.spans[i]);
      int64_t c = 0;
      if (input.c == 1 && grad.c == 1) {
        for (; c + lanes<A> <= count; c += lanes<A>) multiply(list, taps, c, to);
      }
      for (; c < count; c += lanes<A>)
        multiply_any(list, taps, c, smaller(lanes<A>, count - c), to);
    });
  }

  static bool is_inside(const Span& span, const TapList& taps, int64_t k) {
    return span.rows.has(taps.row[k]) && span.columns.has(taps.column[k]);
  }

  void find_taps(const TapList& taps, Span& span) const {
    for (int64_t k = 0; k < taps.count; ++k) {
      span.from[k] = is_inside(span, taps, k) ? operands_.input.data + span.input + taps.offset[k]
                                              : kZeroPixel;
    }
    for (int64_t k = taps.count; k < kTapsAtOnce; ++k) span.from[k] = span.from[taps.count - 1];
  }

  // A whole vector of adjacent channels.
  void multiply(const PixelList& list, const TapList& taps, int64_t c, const TapSums<A>& to) const {
    const int64_t step = operands_.lattice.w.stride * operands_.input.stride.w,
                  gradient_step = operands_.grad_output.stride.w;
    Vec<A> sums[kTapsAtOnce] = {};
    for (int64_t i = 0; i < list.count; ++i) {
      const Span& span = list.spans[i];
      const T* gradient = operands_.grad_output.data + span.gradient + c;
      const T* from[kTapsAtOnce];
#pragma GCC unroll 16
      for (int64_t k = 0; k < kTapsAtOnce; ++k) from[k] = span.from[k] + c;
      for (int64_t q = 0; q < span.pixels; ++q, gradient += gradient_step) {
        const Vec<A> grad = load(gradient);
#pragma GCC unroll 16
        for (int64_t k = 0; k < kTapsAtOnce; ++k)
          sums[k] = multiply_add<A>(load(from[k] + q * step), grad, sums[k]);
      }
    }
#pragma GCC unroll 16
    for (int64_t k = 0; k < kTapsAtOnce; ++k) {
      if (k >= taps.count) break;
      A* total = to.data + taps.index[k] * to.row + c;
      store(total, load(total) + sums[k]);
    }
  }

  // The last channels, or channels that are not adjacent: one tap after another.
  void multiply_any(const PixelList& list, const TapList& taps, int64_t c, int64_t count,
                    const TapSums<A>& to) const {
    const Values<T>&input = operands_.input, &grad_output = operands_.grad_output;
    const int64_t step = operands_.lattice.w.stride * input.stride.w;
    for (int64_t k = 0; k < taps.count; ++k) {
      Vec<A> sum{};
      for (int64_t i = 0; i < list.count; ++i) {
        const Span& span = list.spans[i];
        if (!is_inside(span, taps, k)) continue;
        int64_t from = span.input + taps.offset[k] + c * input.stride.c;
        int64_t gradient = span.gradient + c * grad_output.stride.c;
        for (int64_t q = 0; q < span.pixels; ++q) {
          sum = multiply_add<A>(input.fetch(from, input.stride.c, count),
                                grad_output.fetch(gradient, grad_output.stride.c, count), sum);
          from += step;
          gradient += grad_output.stride.w;
        }
      }
      A* total = to.data + taps.index[k] * to.row + c;
      store(total, load(total) + sum);
    }
  }

  const DepthwiseProducts<T> operands_;
};

}  // namespace cnnops::CNNOPS_TARGET
