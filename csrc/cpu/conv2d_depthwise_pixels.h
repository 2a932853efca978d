// Depthwise correlation of channels_last maps: channels are in vectors, so any stride, padding or
// dilation is a matter of addresses.
//
// A task is a band of rows of results, those of all lattices, so that their samples are still in the
// cache when the next row needs them. Register tiles of a few pixels by one or two vectors of channels
// walk along a row, all channels of a few pixels before the next ones; a filter element is loaded once
// a tile. Pixels whose taps do not all lie inside the source come one at a time, without those outside.
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
    int64_t rows = 0;
    for (const CorrelationAxis& h : lattices_.rows) rows = larger(rows, h.count);
    const Blocking bands = blocking(rows, kBandRows, 1);
    parallel(execution, operands_.batch * bands.count, [&](int64_t task, int64_t) {
      const int64_t first = task % bands.count * bands.size;
      for (int64_t row = first; row < smaller(first + bands.size, rows); ++row)
        fold_rows(task / bands.count, row);
    });
  }

 private:
  static constexpr int64_t kBandRows = 16;
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

  void fold_rows(int64_t image, int64_t row) const {
    for (const CorrelationAxis& h : lattices_.rows) {
      if (row >= h.count) continue;
      for (const CorrelationAxis& w : lattices_.columns) fold_row({h, w}, image, row);
    }
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
        fold<1, 1, 0, 0>(tile);
      }
    };
    clipped(inner);
    tile.columns = {0, w.taps};
    if (w.taps != 3) {
      for (; j + kPixels <= outer; advance(kPixels)) fold_many(tile);
    }
    for (; j + kPixels / 2 <= outer; advance(kPixels / 2)) fold_few(tile);
    clipped(w.count);
  }

  // Tiles whose taps all lie inside along a row: the common filters are unrolled.
  void fold_many(const Tile& tile) const {
    const int64_t taps = tile.columns.last;
    if (taps == 5 && tile.pixel_step == tile.tap_step) return fold<kPixels, 1, 5, 1>(tile);
    if (taps == 7 && tile.pixel_step == tile.tap_step) return fold<kPixels, 1, 7, 1>(tile);
    fold<kPixels, 1, 0, 0>(tile);
  }
  // Half as many pixels. Three taps leave room for two vectors of channels, whose runs are longer.
  void fold_few(const Tile& tile) const {
    const int64_t taps = tile.columns.last;
    if (taps == 3 && tile.pixel_step == tile.tap_step) return fold<kPixels / 2, 2, 3, 1>(tile);
    if (taps == 3 && tile.pixel_step == 2 * tile.tap_step) return fold<kPixels / 2, 2, 3, 2>(tile);
    fold<kPixels / 2, 1, 0, 0>(tile);
  }

  template <int kCount, int kVectors, int kTaps, int kStep>
  void fold(const Tile& tile) const {
    const int64_t channels = factors_.channels;
    const bool dense = operands_.source_stride.c == 1 && operands_.result_stride.c == 1;
    int64_t c = 0;
    if (dense) {
      for (; c + kVectors * lanes<A> <= channels; c += kVectors * lanes<A>)
        fold_channels<kCount, kVectors, kTaps, kStep>(tile, c);
      if constexpr (kVectors > 1) {
        for (; c + lanes<A> <= channels; c += lanes<A>)
          fold_channels<kCount, 1, kTaps, kStep>(tile, c);
      }
    }
    for (; c < channels; c += lanes<A>) fold_any_channels(tile, kCount, c);
  }

  // Vectors of adjacent channels. kTaps taps of a row, whose samples pixels share kStep taps apart;
  // any taps if it is 0.
  template <int kCount, int kVectors, int kTaps, int kStep>
  CNNOPS_INLINE void fold_channels(const Tile& tile, int64_t c) const {
    Vec<A> sums[kCount][kVectors];
    for (int i = 0; i < kCount; ++i) load_row(factors_.bias() + c, sums[i]);
    for (int64_t t = tile.rows.first; t < tile.rows.last; ++t) {
      const T* from = tile.source + t * tile.row_step + c;
      const A* factor = tile.factors + t * tile.factor_row_step + c;
      if constexpr (kTaps > 0) {
        Vec<A> taps[kTaps][kVectors];
        for (int s = 0; s < kTaps; ++s) load_row(factor + s * tile.factor_step, taps[s]);
#pragma GCC unroll 32
        for (int x = 0; x < (kCount - 1) * kStep + kTaps; ++x, from += tile.tap_step) {
          Vec<A> samples[kVectors];
          load_row(from, samples);
#pragma GCC unroll 32
          for (int i = 0; i < kCount; ++i) {
            const int s = x - i * kStep;
            if (s >= 0 && s < kTaps) add_products(samples, taps[s], sums[i]);
          }
        }
      } else {
        for (int64_t s = tile.columns.first; s < tile.columns.last; ++s) {
          Vec<A> tap[kVectors], samples[kVectors];
          load_row(factor + s * tile.factor_step, tap);
          for (int i = 0; i < kCount; ++i) {
            load_row(from + s * tile.tap_step + i * tile.pixel_step, samples);
            add_products(samples, tap, sums[i]);
          }
        }
      }
    }
    for (int i = 0; i < kCount; ++i) {
      for (int v = 0; v < kVectors; ++v)
        store(tile.result + i * tile.result_step + c + v * lanes<A>, sums[i][v]);
    }
  }

  template <class From, int kVectors>
  CNNOPS_INLINE static void load_row(const From* from, Vec<A> (&row)[kVectors]) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) row[v] = load(from + v * lanes<A>);
  }
  template <int kVectors>
  CNNOPS_INLINE static void add_products(const Vec<A> (&samples)[kVectors],
                                         const Vec<A> (&taps)[kVectors], Vec<A> (&sums)[kVectors]) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) sums[v] = multiply_add<A>(samples[v], taps[v], sums[v]);
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
