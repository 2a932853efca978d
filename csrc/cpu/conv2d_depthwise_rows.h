// Rows of a depthwise correlation with channels in vectors, so that any stride, padding or dilation is
// a matter of addresses.
//
// Register tiles of a few pixels by one or two vectors of channels walk along a row, all channels of a
// few pixels before the next ones; a filter element is loaded once a tile. Pixels whose taps do not all
// lie inside the source come one at a time, without those outside.
#pragma once

#include "operand_lanes.h"
#include "operands.h"

namespace cnnops::CNNOPS_TARGET {

// Filter and bias, widened, with channels in vectors: [tap][channel], and behind them the bias.
template <class A>
struct ChannelFactors {
  int64_t channels, taps;
  A* data;

  ChannelFactors(const Conv2dShape& shape, Arena& arena)
      : channels(shape.groups),
        taps(shape.kernel.h * shape.kernel.w),
        data(arena.take<A>((taps + 1) * row())) {}

  int64_t row() const { return round_up(channels, lanes<A>); }
  const A* of(int64_t tap) const { return data + tap * row(); }
  const A* bias() const { return of(taps); }

  template <class T>
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

// Where the channels [first, last) of an image lie.
template <class T>
struct ImageChannels {
  const T* source;
  T* result;
  Range channels;
};

template <class T>
class DepthwiseRows {
 public:
  using A = Accumulate<T>;

  DepthwiseRows(const Conv2dProblem& problem, const Strides4& source_stride,
                const Strides4& result_stride, const ChannelFactors<A>& factors)
      : source_stride_(source_stride),
        result_stride_(result_stride),
        lattices_(correlation_lattices(problem)),
        factors_(factors),
        kernel_columns_(problem.shape.kernel.w) {
    for (const CorrelationAxis& h : lattices_.rows) count_ = larger(count_, h.count);
  }

  // Of the lattice that has most.
  int64_t count() const { return count_; }

  // These rows of all lattices.
  void fold(const ImageChannels<T>& image, Range rows) const {
    for (int64_t row = rows.first; row < rows.last; ++row) {
      for (const CorrelationAxis& h : lattices_.rows) {
        if (row >= h.count) continue;
        for (const CorrelationAxis& w : lattices_.columns) fold_row({h, w}, image, row);
      }
    }
  }

 private:
  // Largest number of pixels of a tile: their sums, a filter element and a sample are in registers.
  static constexpr int kPixels = 8;

  // Pixels of a row of results that have the same taps inside the source. Steps are in elements:
  // from tap row to tap row, from tap to tap, and from pixel to pixel of the source or result.
  struct Tile {
    Range rows, columns;
    int64_t channels;
    const T* source;  // of the first pixel's first tap, inside or not
    int64_t row_step, tap_step, pixel_step;
    const A *factors, *bias;
    int64_t factor_row_step, factor_step;
    T* result;
    int64_t result_step;
  };

  Tile tile(const Correlation& lattice, const ImageChannels<T>& image, int64_t row) const {
    const CorrelationAxis &h = lattice.h, &w = lattice.w;
    const Strides4 &from = source_stride_, &to = result_stride_;
    const int64_t y = row * h.stride + h.offset, first = image.channels.first;
    return {inside(h.taps, h.dilation, y, h.source),
            {0, w.taps},
            image.channels.last - first,
            image.source + y * from.h + w.offset * from.w,
            h.dilation * from.h,
            w.dilation * from.w,
            w.stride * from.w,
            factors_.of(h.tap_first * kernel_columns_ + w.tap_first) + first,
            factors_.bias() + first,
            h.tap_step * kernel_columns_ * factors_.row(),
            w.tap_step * factors_.row(),
            image.result + (h.first + row * h.step) * to.h + w.first * to.w,
            w.step * to.w};
  }

  void fold_row(const Correlation& lattice, const ImageChannels<T>& image, int64_t row) const {
    const CorrelationAxis& w = lattice.w;
    Tile tile = this->tile(lattice, image, row);
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
    const int64_t channels = tile.channels;
    const bool dense = source_stride_.c == 1 && result_stride_.c == 1;
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
    for (int i = 0; i < kCount; ++i) load_row(tile.bias + c, sums[i]);
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
    const int64_t count = smaller(lanes<A>, tile.channels - c);
    const int64_t step = source_stride_.c, result_step = result_stride_.c;
    const Values<T> source{tile.source, source_stride_};
    for (int64_t i = 0; i < pixels; ++i) {
      Vec<A> sum = load(tile.bias + c);
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

  const Strides4 source_stride_, result_stride_;
  const Lattices lattices_;
  const ChannelFactors<A> factors_;
  const int64_t kernel_columns_;
  int64_t count_ = 0;
};

}  // namespace cnnops::CNNOPS_TARGET
