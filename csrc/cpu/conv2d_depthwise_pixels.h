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
  static constexpr int kPixels = 8;

  // Pixels of a row of results that have the same taps inside the source. Steps are in elements:
  // from tap row to tap row, from tap to tap, and from pixel to pixel of the source or result.
  struct Tile {
    Range rows, columns;
    const T* source;  // of the first pixel's first tap, inside or not
    int64_t row_step, tap_step, pixel_step;
    const A* factors;
    int64_t factor_row_step, factor_step;
    T* result;
    int64_t result_step;
  };

  Tile tile(const Correlation& lattice, int64_t image, int64_t row, Range rows) const {
    const CorrelationAxis &h = lattice.h, &w = lattice.w;
    const Strides4 &from = operands_.source_stride, &to = operands_.result_stride;
    return {rows,
            {0, w.taps},
            operands_.source + at(from, image, 0, row * h.stride + h.offset, w.offset),
            h.dilation * from.h,
            w.dilation * from.w,
            w.stride * from.w,
            factors_.of(h.tap_first * kernel_columns_ + w.tap_first),
            h.tap_step * kernel_columns_ * factors_.row(),
            w.tap_step * factors_.row(),
            operands_.result + at(to, image, 0, h.first + row * h.step, w.first),
            w.step * to.w};
  }

  void fold_row(const Correlation& lattice, int64_t image, int64_t row) const {
    const CorrelationAxis &h = lattice.h, &w = lattice.w;
    Tile tile = this->tile(lattice, image, row,
                           inside(h.taps, h.dilation, row * h.stride + h.offset, h.source));
    const int64_t reach = w.offset + (w.taps - 1) * w.dilation;
    const int64_t inner = inside(w.count, w.stride, w.offset, w.source).first;
    const int64_t outer = larger(inner, inside(w.count, w.stride, reach, w.source).last);
    int64_t j = 0;
    const auto advance = [&](int64_t count) {
      j += count;
      tile.source += count * tile.pixel_step;
      tile.result += count * tile.result_step;
    };
    const auto clipped = [&](int64_t last) {
      for (; j < last; advance(1)) {
        tile.columns = inside(w.taps, w.dilation, j * w.stride + w.offset, w.source);
        fold<1, 0, 0>(tile);
      }
    };
    clipped(inner);
    tile.columns = {0, w.taps};
    for (; j + kPixels <= outer; advance(kPixels)) fold_whole<kPixels>(tile);
    for (; j + kPixels / 2 <= outer; advance(kPixels / 2)) fold_whole<kPixels / 2>(tile);
    clipped(w.count);
  }

  // A tile whose taps all lie inside along a row: the common filters are unrolled.
  template <int kCount>
  void fold_whole(const Tile& tile) const {
    const int64_t taps = tile.columns.last;
    if (taps == 3 && tile.pixel_step == tile.tap_step) return fold<kCount, 3, 1>(tile);
    if (taps == 3 && tile.pixel_step == 2 * tile.tap_step) return fold<kCount, 3, 2>(tile);
    if constexpr (kCount == kPixels) {
      if (taps == 5 && tile.pixel_step == tile.tap_step) return fold<kCount, 5, 1>(tile);
      if (taps == 7 && tile.pixel_step == tile.tap_step) return fold<kCount, 7, 1>(tile);
    }
    fold<kCount, 0, 0>(tile);
  }

  template <int kCount, int kTaps, int kStep>
  void fold(const Tile& tile) const {
    const int64_t channels = factors_.channels;
    const bool dense = operands_.source_stride.c == 1 && operands_.result_stride.c == 1;
    int64_t c = 0;
    if (dense) {
      for (; c + lanes<A> <= channels; c += lanes<A>) fold_channels<kCount, kTaps, kStep>(tile, c);
    }
    for (; c < channels; c += lanes<A>) fold_any_channels(tile, kCount, c);
  }

  // A vector of adjacent channels. kTaps taps of a row, whose samples pixels share kStep taps
  // apart; any taps if it is 0.
  template <int kCount, int kTaps, int kStep>
  CNNOPS_INLINE void fold_channels(const Tile& tile, int64_t c) const {
    Vec<A> sums[kCount];
    for (int i = 0; i < kCount; ++i) sums[i] = load(factors_.bias() + c);
    for (int64_t t = tile.rows.first; t < tile.rows.last; ++t) {
      const T* from = tile.source + t * tile.row_step + c;
      const A* factor = tile.factors + t * tile.factor_row_step + c;
      if constexpr (kTaps > 0) {
        Vec<A> taps[kTaps];
        for (int s = 0; s < kTaps; ++s) taps[s] = load(factor + s * tile.factor_step);
#pragma GCC unroll 32
        for (int x = 0; x < (kCount - 1) * kStep + kTaps; ++x, from += tile.tap_step) {
          const Vec<A> sample = load(from);
#pragma GCC unroll 32
          for (int i = 0; i < kCount; ++i) {
            const int s = x - i * kStep;
            if (s >= 0 && s < kTaps) sums[i] = multiply_add<A>(sample, taps[s], sums[i]);
          }
        }
      } else {
        for (int64_t s = tile.columns.first; s < tile.columns.last; ++s) {
          const Vec<A> tap = load(factor + s * tile.factor_step);
          for (int i = 0; i < kCount; ++i) {
            const Vec<A> sample = load(from + s * tile.tap_step + i * tile.pixel_step);
            sums[i] = multiply_add<A>(sample, tap, sums[i]);
          }
        }
      }
    }
    for (int i = 0; i < kCount; ++i) store(tile.result + i * tile.result_step + c, sums[i]);
  }

  // The last channels, or channels that are not adjacent.
  __attribute__((noinline)) void fold_any_channels(const Tile& tile, int64_t pixels,
                                                   int64_t c) const {
    const int64_t count = smaller(lanes<A>, factors_.channels - c);
    const int64_t step = operands_.source_stride.c, result_step = operands_.result_stride.c;
    const Values<T> source{tile.source, operands_.source_stride};
    for (int64_t i = 0; i < pixels; ++i) {
      Vec<A> sum = load(factors_.bias() + c);
      for (int64_t t = tile.rows.first; t < tile.rows.last; ++t) {
        for (int64_t s = tile.columns.first; s < tile.columns.last; ++s) {
          const Vec<A> sample = source.fetch(
              t * tile.row_step + s * tile.tap_step + i * tile.pixel_step + c * step, step, count);
          sum = multiply_add<A>(
              sample, load(tile.factors + t * tile.factor_row_step + s * tile.factor_step + c),
              sum);
        }
      }
      T* to = tile.result + i * tile.result_step + c * result_step;
      if (result_step == 1) {
        store_partial(to, sum, count);
      } else {
        for (int64_t lane = 0; lane < count; ++lane)
          store_scalar(to + lane * result_step, sum[lane]);
      }
    }
  }

  const CorrelationOperands<T> operands_;
  const Lattices lattices_;
  const ChannelFactors<T> factors_;
  const int64_t kernel_columns_;
};

}  // namespace cnnops::CNNOPS_TARGET
