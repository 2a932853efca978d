// Copies of the rows of a source that a few rows of pixels meet, channels innermost and padded with
// zeros:
//
//   rows[row][column of the source * channels + channel]
//
// The samples of a window's row follow each other, so that the windows of a row of pixels are a
// matrix whose rows overlap: that of pixel j starts at j * stride * channels.
#pragma once

#include "interleave.h"
#include "patches.h"

namespace cnnops::CNNOPS_TARGET {

// Elements of the rows that a task copies instead of gathering patches from them, at most.
inline constexpr int64_t kRowsElements = 65536;

// Samples along an axis that so many outputs meet, a dilation apart.
CNNOPS_INLINE int64_t window_samples(const CorrelationAxis& axis, int64_t outputs) {
  return (outputs - 1) * axis.stride + axis.taps;
}
// Elements of a row that a row of pixels meets.
CNNOPS_INLINE int64_t window_row(const CorrelationAxis& w, int64_t reduce) {
  return window_samples(w, w.count) * reduce;
}
// Rows of pixels that may share them: a single one, if their windows lie apart.
CNNOPS_INLINE int64_t rows_that_share(const CorrelationAxis& h, int64_t row) {
  if (h.dilation > 1 || h.stride > h.taps) return 1;
  return larger<int64_t>(1, (kRowsElements / row - h.taps) / h.stride + 1);
}

// `count` samples, a column apart.
template <class T>
void copy_columns(const PatchSource<T>& source, const T* from, int64_t count, Accumulate<T>* to) {
  const int64_t channels = source.channels;
  if (source.column_stride == 1)
    return interleave_copy(from, source.channel_stride, to, channels, count);
  if (source.channel_stride == 1 && source.column_stride == channels)
    return copy_run(from, to, count * channels);
  for (int64_t i = 0; i < count; ++i)
    load_run(from + i * source.column_stride, source.channel_stride, to + i * channels, channels);
}

// Row y of the source, which may lie outside.
template <class T>
void copy_window_row(const PatchSource<T>& source, int64_t y, Accumulate<T>* to) {
  using A = Accumulate<T>;
  const CorrelationAxis &h = source.lattice.h, &w = source.lattice.w;
  const int64_t channels = source.channels, columns = window_samples(w, w.count);
  const bool is_inside = y >= 0 && y < h.source;
  const Range valid = is_inside ? inside(columns, 1, w.offset, w.source) : Range{0, 0};
  fill_run(to, A(0), valid.first * channels);
  fill_run(to + valid.last * channels, A(0), (columns - valid.last) * channels);
  const T* from =
      source.data + y * source.row_stride + (w.offset + valid.first) * source.column_stride;
  copy_columns(source, from, valid.last - valid.first, to + valid.first * channels);
}

// What `rows` rows of pixels from row `first` on meet.
template <class T>
void copy_window_rows(const PatchSource<T>& source, int64_t first, int64_t rows,
                      Accumulate<T>* to) {
  const CorrelationAxis& h = source.lattice.h;
  const int64_t y = first * h.stride + h.offset;
  const int64_t row = window_row(source.lattice.w, source.channels);
  for (int64_t i = 0; i < window_samples(h, rows); ++i)
    copy_window_row(source, y + i * h.dilation, to + i * row);
}

}  // namespace cnnops::CNNOPS_TARGET
