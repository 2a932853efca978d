// The implicit matrix product of results in channels_last whose windows' rows are runs of samples
// that neighbours share. Nothing is gathered: the rows that a row of pixels meets are copied, padded
// with zeros, and its windows are a matrix whose rows overlap.
//
//   rows[filter row][column of the source * channels + channel]
//
// A filter row of pixel j starts at j * stride * channels. The order of a sum is that of gathered
// patches.
#pragma once

#include "implicit_gemm_channel_sums.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class WindowRows {
 public:
  using A = Accumulate<T>;

  static void run(const CorrelationOperands<T>& operands, const Correlation& lattice,
                  const PackedFilter<A>& filter, const CorrelationTask& task,
                  const CorrelationTask&, const CorrelationScratch<T>& scratch) {
    const ChannelSums<T> sums(operands, lattice, task, scratch);
    for (int64_t image = 0; image < task.images; ++image) {
      const WindowRows call(patch_source(operands, lattice, task, image), filter, task, sums,
                            scratch.patches);
      const int64_t columns = lattice.w.count;
      for (int64_t p = 0, count; p < task.pixels; p += count) {
        const int64_t pixel = task.first_pixel + p;
        count = smaller(columns - pixel % columns, task.pixels - p);
        call.run({pixel / columns, pixel % columns, count, image * task.pixels + p});
      }
    }
    sums.write();
  }

 private:
  // `count` pixels of row i of the lattice, from column j on; `place` is the first one's in the
  // task.
  struct PixelRow {
    int64_t i, j, count, place;
  };

  WindowRows(const PatchSource<T>& source, const PackedFilter<A>& filter,
             const CorrelationTask& task, const ChannelSums<T>& sums, A* rows)
      : source_(source), filter_(filter), task_(task), sums_(sums), rows_(rows) {}

  // Blocks of k hold whole rows of the filter.
  void run(const PixelRow& pixels) const {
    const CorrelationAxis& w = source_.lattice.w;
    const int64_t depth = w.taps * source_.channels, step = w.stride * source_.channels;
    const int64_t length = (pixels.count - 1) * step + depth;
    for (int64_t k = 0; k < filter_.depth; k += filter_.block) {
      const int64_t pieces = filter_.depth_from(k) / depth;
      for (int64_t r = 0; r < pieces; ++r)
        copy_row(pixels, k / depth + r, length / source_.channels, rows_ + r * length);
      const BlockStart<A> start = sums_.start(k, pixels.place);
      multiply<A>({.rows = pixels.count,
                   .columns = sums_.columns(),
                   .depth = depth,
                   .pieces = pieces,
                   .scalars = rows_,
                   .scalar_panel = kTileRows * step,
                   .scalar_row = step,
                   .scalar_piece = length,
                   .scalar_depth = 1,
                   .vectors = filter_.at(task_.group, task_.first_channel / filter_.width, k),
                   .vector_panel = filter_.panel_stride(k),
                   .vector_depth = filter_.width,
                   .start = start.data,
                   .start_panel = start.panel,
                   .start_row = start.row,
                   .sums = sums_.at(pixels.place),
                   .sums_row = sums_.row(),
                   .ahead = k == 0 ? results_ahead(pixels) : Ahead()});
    }
  }

  // The results behind those of a first tile: so short a sum waits for the memory it is written to.
  Ahead results_ahead(const PixelRow& pixels) const {
    Ahead ahead;
    if (sums_.are_in_result()) {
      ahead.add(sums_.at(pixels.place) + kTileRows * kTileColumns<A>, pixels.count * sums_.row());
    }
    return ahead;
  }

  // `columns` samples of the source's row that filter row r meets.
  void copy_row(const PixelRow& pixels, int64_t r, int64_t columns, A* to) const {
    const CorrelationAxis &h = source_.lattice.h, &w = source_.lattice.w;
    const int64_t y = pixels.i * h.stride + h.offset + r * h.dilation;
    const int64_t x = pixels.j * w.stride + w.offset, channels = source_.channels;
    const Range valid = y >= 0 && y < h.source ? inside(columns, 1, x, w.source) : Range{0, 0};
    fill_run(to, A(0), valid.first * channels);
    fill_run(to + valid.last * channels, A(0), (columns - valid.last) * channels);
    const T* from =
        source_.data + y * source_.row_stride + (x + valid.first) * source_.column_stride;
    copy_pixels(from, valid.last - valid.first, to + valid.first * channels);
  }

  void copy_pixels(const T* from, int64_t count, A* to) const {
    const int64_t channels = source_.channels;
    if (source_.channel_stride == 1 && source_.column_stride == channels)
      return copy_run(from, to, count * channels);
    for (int64_t i = 0; i < count; ++i) {
      load_run(from + i * source_.column_stride, source_.channel_stride, to + i * channels,
               channels);
    }
  }

  const PatchSource<T> source_;
  const PackedFilter<A>& filter_;
  const CorrelationTask& task_;
  const ChannelSums<T>& sums_;
  A* rows_;
};

}  // namespace cnnops::CNNOPS_TARGET
