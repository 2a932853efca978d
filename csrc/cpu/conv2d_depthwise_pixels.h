// Depthwise correlation of channels_last maps: channels are in vectors, so any stride, padding or
// dilation is a matter of addresses.
//
// A task is a row of results. Register tiles of several pixels by one vector of channels walk along
// it, all channels of a few pixels before the next ones; a filter element is loaded once a tile.
// Pixels whose taps do not all lie inside the source come one at a time, without those outside.
#pragma once

#include "blocking.h"
#include "operand_lanes.h"
#include "operands.h"

namespace cnnops::CNNOPS_TARGET {

// Filter and bias, widened, with channels in vectors: [tap][channel], and behind them the bias.
template <class T>
struct ChannelFactors {
  using A = Accumulate<T>;
  int64_t channels, taps;
  A* data;

  ChannelFactors(const Conv2dShape& shape, Arena& arena)
      : channels(shape.groups),
        taps(shape.kernel.h * shape.kernel.w),
        data(arena.take<A>((taps + 1) * row())) {}

  int64_t row() const { return round_up(channels, lanes<A>); }
  const A* of(int64_t tap) const { return data + tap * row(); }
  const A* bias() const { return of(taps); }

  void fill(const Conv2dShape& shape, const FilterView<T>& filter, const T* bias) const {
    A* to = data;
    for (int64_t r = 0; r < shape.kernel.h; ++r) {
      for (int64_t s = 0; s < shape.kernel.w; ++s, to += row()) {
        load_run(filter.data + r * filter.row_stride + s * filter.column_stride,
                 filter.group_stride, to, channels);
      }
    }
    fill_run(to, A(0), channels);
    if (bias != nullptr) load_run(bias, 1, to, channels);
  }
};

template <class T>
class PixelCorrelation {
 public:
  using A = Accumulate<T>;

  PixelCorrelation(const Conv2dProblem& problem, const CorrelationOperands<T>& operands,
                   const ChannelFactors<T>& factors)
      : operands_(operands),
        lattices_(correlation_lattices(problem)),
        factors_(factors),
        kernel_columns_(problem.shape.kernel.w) {}

  void run(const Execution& execution) const {
    for (const CorrelationAxis& h : lattices_.rows) {
      parallel(execution, operands_.batch * h.count, [&](int64_t task, int64_t) {
        for (const CorrelationAxis& w : lattices_.columns)
          fold_row({h, w}, task / h.count, task % h.count);
      });
    }
  }

 private:
  // Largest number of pixels of a tile: their sums, a filter element and a sample are in registers.
  static constexpr int64_t kPixels = 8;

  // Pixels of a row of results, and their taps that lie inside the source.
  struct Pixels {
    const Correlation& lattice;
    int64_t image, row, first;
    Range rows, columns;
  };

  void fold_row(const Correlation& lattice, int64_t image, int64_t row) const {
    const CorrelationAxis &h = lattice.h, &w = lattice.w;
    const Range rows = inside(h.taps, h.dilation, row * h.stride + h.offset, h.source);
    const int64_t reach = w.offset + (w.taps - 1) * w.dilation;
    const int64_t inner = inside(w.count, w.stride, w.offset, w.source).first;
    const int64_t outer = larger(inner, inside(w.count, w.stride, reach, w.source).last);
    const auto one = [&](int64_t j) {
      const Range columns = inside(w.taps, w.dilation, j * w.stride + w.offset, w.source);
      fold<1>({lattice, image, row, j, rows, columns});
    };
    int64_t j = 0;
    while (j < inner) one(j++);
    const auto whole = [&]<int64_t kCount>() {
      for (; j + kCount <= outer; j += kCount) 
        fold<kCount>({lattice, image, row, j, rows, {0, w.taps}});
    };
    whole.template operator()<kPixels>();
    whole.template operator()<kPixels / 2>();
    whole.template operator()<1>();
    while (j < w.count) one(j++);
  }

  template <int64_t kCount>
  void fold(const Pixels& pixels) const {
    const int64_t channels = factors_.channels;
    const bool dense = operands_.source_stride.c == 1 && operands_.result_stride.c == 1;
    int64_t c = 0;
    if (dense) {
      for (; c + lanes<A> <= channels; c += lanes<A>) fold_channels<kCount, true>(pixels, c);
    }
    for (; c < channels; c += lanes<A>) fold_channels<kCount, false>(pixels, c);
  }

  // kWhole: a whole vector of adjacent channels.
  template <int64_t kCount, bool kWhole>
  CNNOPS_INLINE void fold_channels(const Pixels& pixels, int64_t c) const {
    const CorrelationAxis &h = pixels.lattice.h, &w = pixels.lattice.w;
    const Strides4& stride = operands_.source_stride;
    const Values<T> source{operands_.source, stride, 0};
    const int64_t count = smaller(lanes<A>, factors_.channels - c);
    const int64_t pixel_step = w.stride * stride.w, tap_step = w.dilation * stride.w;
    Vec<A> sums[kCount];
    for (int64_t i = 0; i < kCount; ++i) sums[i] = load(factors_.bias() + c);
    int64_t row = at(stride, pixels.image, c, pixels.row * h.stride + h.offset,
                     pixels.first * w.stride + w.offset);
    row += pixels.rows.first * h.dilation * stride.h + pixels.columns.first * tap_step;
    for (int64_t t = pixels.rows.first; t < pixels.rows.last; ++t) {
      const int64_t first_tap = (h.tap_first + t * h.tap_step) * kernel_columns_ + w.tap_first +
                                pixels.columns.first * w.tap_step;
      const A* factor = factors_.of(first_tap) + c;
      int64_t from = row;
      for (int64_t s = pixels.columns.first; s < pixels.columns.last; ++s) {
        const Vec<A> tap = load(factor);
#pragma GCC unroll 8
        for (int64_t i = 0; i < kCount; ++i) {
          const int64_t sample = from + i * pixel_step;
          const Vec<A> value =
              kWhole ? load(source.data + sample) : source.fetch(sample, stride.c, count);
          sums[i] = multiply_add<A>(value, tap, sums[i]);
        }
        from += tap_step;
        factor += w.tap_step * factors_.row();
      }
      row += h.dilation * stride.h;
    }
#pragma GCC unroll 8
    for (int64_t i = 0; i < kCount; ++i) {
      const int64_t column = w.first + (pixels.first + i) * w.step;
      put<kWhole>(operands_.result + at(operands_.result_stride, pixels.image, c,
                                        h.first + pixels.row * h.step, column),
                  sums[i], count);
    }
  }

  template <bool kWhole>
  CNNOPS_INLINE void put(T* to, Vec<A> value, int64_t count) const {
    const int64_t step = operands_.result_stride.c;
    if constexpr (kWhole) return store(to, value);
    if (step == 1) return store_partial(to, value, count);
    for (int64_t i = 0; i < count; ++i) store_scalar(to + i * step, value[i]);
  }

  const CorrelationOperands<T> operands_;
  const Lattices lattices_;
  const ChannelFactors<T> factors_;
  const int64_t kernel_columns_;
};

}  // namespace cnnops::CNNOPS_TARGET
