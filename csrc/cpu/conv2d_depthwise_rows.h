// Rows of a depthwise correlation with channels in vectors, so that any stride, padding or dilation is
// a matter of addresses.
//
// Tiles of 3 x 3 filters take two rows at a time. Other filters take one row; its pixels whose taps do
// not all lie inside the source come one at a time, without those outside.
#pragma once

#include "conv2d_depthwise_tile.h"
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
    for (const CorrelationAxis& h : lattices_.rows) {
      count_ = larger(count_, h.count);
      for (const CorrelationAxis& w : lattices_.columns)
        if (square_step({h, w}) == 0) rows_at_once_ = 1;
    }
  }

  // Of the lattice that has most.
  int64_t count() const { return count_; }

  // These rows of all lattices.
  void fold(const ImageChannels<T>& image, Range rows) const {
    for (int64_t row = rows.first; row < rows.last; row += rows_at_once_) {
      const int64_t last = smaller(row + rows_at_once_, rows.last);
      for (const CorrelationAxis& h : lattices_.rows) {
        if (row >= h.count) continue;
        for (const CorrelationAxis& w : lattices_.columns)
          fold_rows({h, w}, image, {row, smaller(last, h.count)});
      }
    }
  }

 private:
  // Pixels of a tile of one row: their sums, a filter element and a sample are in registers.
  static constexpr int kPixels = 8;

  void fold_rows(const Correlation& lattice, const ImageChannels<T>& image, Range rows) const {
    const int64_t step = square_step(lattice);
    if (step > 0) return fold_squares(lattice, image, rows, step);
    for (int64_t row = rows.first; row < rows.last; ++row) fold_row(lattice, image, row);
  }

  // The first pixel of a row, with one row of taps.
  DepthwiseTile<T> tile(const Correlation& lattice, const ImageChannels<T>& image,
                        int64_t row) const {
    const CorrelationAxis &h = lattice.h, &w = lattice.w;
    const Strides4 &from = source_stride_, &to = result_stride_;
    const int64_t y = row * h.stride + h.offset, first = image.channels.first;
    return {.rows = inside(h.taps, h.dilation, y, h.source),
            .columns = {0, w.taps},
            .channels = image.channels.last - first,
            .source = image.source + y * from.h + w.offset * from.w,
            .row_step = h.dilation * from.h,
            .tap_step = w.dilation * from.w,
            .row_stride = h.stride * from.h,
            .pixel_stride = w.stride * from.w,
            .source_channel = from.c,
            .factors = factors_.of(h.tap_first * kernel_columns_ + w.tap_first) + first,
            .bias = factors_.bias() + first,
            .factor_row_step = h.tap_step * kernel_columns_ * factors_.row(),
            .factor_step = w.tap_step * factors_.row(),
            .result = image.result + (h.first + row * h.step) * to.h + w.first * to.w,
            .result_row_step = h.step * to.h,
            .result_step = w.step * to.w,
            .result_channel = to.c};
  }

  void fold_squares(const Correlation& lattice, const ImageChannels<T>& image, Range rows,
                    int64_t step) const {
    const CorrelationAxis &h = lattice.h, &w = lattice.w;
    const int64_t row_count = rows.last - rows.first;
    DepthwiseTile<T> tile = this->tile(lattice, image, rows.first);
    tile.rows = inside(square_samples(int(row_count), int(step)), h.dilation,
                       rows.first * h.stride + h.offset, h.source);
    const SquareFolds<T>& folds = square_folds<T>(step, row_count);
    // Those whose middle tap lies inside.
    const Range inner = inside(w.count, w.stride, w.offset + w.dilation, w.source);
    visit_edge(w, {0, inner.first}, folds.edge, tile);
    for (int64_t j = inner.first; j < inner.last; j += kSquarePixels) {
      const int64_t pixels = smaller<int64_t>(kSquarePixels, inner.last - j);
      tile.columns = inside(square_samples(int(pixels), int(step)), w.dilation,
                            j * w.stride + w.offset, w.source);
      folds.inner[pixels - 1](tile);
      tile.advance(0, pixels);
    }
    visit_edge(w, {inner.last, w.count}, folds.edge, tile);
  }

  // Pixels all of whose taps lie inside along a row.
  static Range inner_pixels(const CorrelationAxis& w) {
    const int64_t reach = w.offset + (w.taps - 1) * w.dilation;
    const int64_t first = inside(w.count, w.stride, w.offset, w.source).first;
    return {first, larger(first, inside(w.count, w.stride, reach, w.source).last)};
  }

  // One by one, with the taps that lie inside.
  static void visit_edge(const CorrelationAxis& w, Range pixels, TileFold<T> fold,
                         DepthwiseTile<T>& tile) {
    for (int64_t j = pixels.first; j < pixels.last; ++j, tile.advance(0, 1)) {
      tile.columns = inside(w.taps, w.dilation, j * w.stride + w.offset, w.source);
      fold(tile);
    }
  }

  void fold_row(const Correlation& lattice, const ImageChannels<T>& image, int64_t row) const {
    const CorrelationAxis& w = lattice.w;
    DepthwiseTile<T> tile = this->tile(lattice, image, row);
    const Range inner = inner_pixels(w);
    visit_edge(w, {0, inner.first}, fold_pixels<1, 0, 0, T>, tile);
    tile.columns = {0, w.taps};
    int64_t j = inner.first;
    for (; j + kPixels <= inner.last; j += kPixels, tile.advance(0, kPixels)) fold_many(tile);
    for (; j + kPixels / 2 <= inner.last; j += kPixels / 2, tile.advance(0, kPixels / 2))
      fold_pixels<kPixels / 2, 0, 0>(tile);
    visit_edge(w, {j, w.count}, fold_pixels<1, 0, 0, T>, tile);
  }

  // Pixels whose taps all lie inside along a row: the common filters are unrolled.
  static void fold_many(const DepthwiseTile<T>& tile) {
    const int64_t taps = tile.columns.last;
    if (taps == 5 && tile.pixel_stride == tile.tap_step) return fold_pixels<kPixels, 5, 1>(tile);
    if (taps == 7 && tile.pixel_stride == tile.tap_step) return fold_pixels<kPixels, 7, 1>(tile);
    fold_pixels<kPixels, 0, 0>(tile);
  }

  const Strides4 source_stride_, result_stride_;
  const Lattices lattices_;
  const ChannelFactors<A> factors_;
  const int64_t kernel_columns_;
  int64_t count_ = 0, rows_at_once_ = kSquareRows;
};

}  // namespace cnnops::CNNOPS_TARGET
