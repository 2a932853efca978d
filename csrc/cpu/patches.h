// Gathering the source samples that a block of output pixels needs: im2col for one block at a time,
// in scratch memory.
//
// The reduction index k of a correlation counts (filter row, filter column, channel), channel
// fastest. Pixels count the lattice row by row. Samples outside the source read as zero.
#pragma once

#include "ahead.h"
#include "runs.h"

namespace cnnops::CNNOPS_TARGET {

// One image and group of the source, and how a correlation looks at it.
template <class T>
struct PatchSource {
  const T* data;
  int64_t channel_stride, row_stride, column_stride;
  int64_t channels;
  Correlation lattice;
};

// A block of pixels by a block of the reduction.
struct PatchBlock {
  int64_t first_pixel, pixels;
  int64_t first_k, depth;
};

// The pixels [first_pixel, first_pixel + pixels) of a few images.
struct PixelBlock {
  int64_t first_image, images;
  int64_t first_pixel, pixels;

  int64_t all_pixels() const { return images * pixels; }
};

// Adds the rows of a channels_last tensor that the windows of a block reach.
template <class T>
void add_rows(const T* data, const Strides4& stride, const Correlation& lattice,
              const PixelBlock& block, Ahead& ahead) {
  const CorrelationAxis& h = lattice.h;
  const int64_t first = block.first_pixel / lattice.w.count,
                last = (block.first_pixel + block.pixels - 1) / lattice.w.count;
  const int64_t low = larger<int64_t>(0, first * h.stride + h.offset);
  const int64_t high =
      smaller(h.source, last * h.stride + h.offset + (h.taps - 1) * h.dilation + 1);
  if (low >= high) return;
  ahead.add(data + block.first_image * stride.n + low * stride.h,
            (block.images - 1) * stride.n + (high - low) * stride.h);
}

// Rows of `columns` patch elements, `row` apart, are read in whole vectors: what lies behind them is
// cleared, since it must not be slow to multiply, as denormals are.
template <class A>
void clear_behind(A* patches, int64_t rows, int64_t row, int64_t columns) {
  const int64_t rest = round_up(columns, lanes<A>) - columns;
  if (rest == 0) return;
  for (int64_t i = 0; i < rows; ++i) fill_run(patches + i * row + columns, A(0), rest);
}

// Rows of patches, patches[pixel * row + (k - first_k)], for sources whose channels are contiguous.
template <class T>
class PatchRows {
 public:
  using A = Accumulate<T>;

  PatchRows(const PatchSource<T>& source, const PatchBlock& block, A* patches, int64_t row)
      : source_(source),
        block_(block),
        patches_(patches),
        row_(row),
        first_row_(block.first_k / row_depth()) {}

  void gather() const {
    const int64_t columns = source_.lattice.w.count;
    const bool has_dense_rows = source_.channel_stride == 1 && source_.column_stride > 0 &&
                                columns_per_run() == source_.lattice.w.taps;
    int64_t i = block_.first_pixel / columns, first = block_.first_pixel % columns;
    A* patch = patches_;
    for (int64_t rest = block_.pixels; rest > 0; ++i, first = 0) {
      const int64_t count = smaller(columns - first, rest);
      rest -= count;
      // What copy_window writes too much lies in a pixel to come: the last one is none of its.
      const Range inner =
          has_dense_rows ? windows_inside(i, first, rest > 0 ? count : count - 1) : Range{0, 0};
      for (int64_t p = 0; p < inner.first; ++p, patch += row_) gather_pixel(i, first + p, patch);
      for (int64_t p = inner.first; p < inner.last; ++p, patch += row_)
        copy_window(i, first + p, patch);
      for (int64_t p = inner.last; p < count; ++p, patch += row_) gather_pixel(i, first + p, patch);
    }
  }

 private:
  int64_t row_depth() const { return source_.lattice.w.taps * source_.channels; }

  // The pixels of row i, among `count` from column `first` on, whose windows lie inside the source
  // with a vector behind them.
  Range windows_inside(int64_t i, int64_t first, int64_t count) const {
    const CorrelationAxis &h = source_.lattice.h, &w = source_.lattice.w;
    const int64_t y = i * h.stride + h.offset, last_y = y + (h.taps - 1) * h.dilation;
    if (y < 0 || last_y >= h.source) return {0, 0};
    const int64_t columns = (h.source - last_y) * source_.row_stride / source_.column_stride;
    const int64_t behind = divide_up(lanes<A>, source_.column_stride) + 1;
    const int64_t starts = smaller(w.source, columns - behind) - (w.taps - 1);
    return inside(count, w.stride, first * w.stride + w.offset, larger<int64_t>(0, starts));
  }

  // The block's part of a window, each row in whole vectors.
  CNNOPS_INLINE void copy_window(int64_t i, int64_t j, A* patch) const {
    const CorrelationAxis &h = source_.lattice.h, &w = source_.lattice.w;
    const int64_t last_k = block_.first_k + block_.depth, depth = row_depth();
    const T* from = source_.data +
                    (i * h.stride + h.offset + first_row_ * h.dilation) * source_.row_stride +
                    (j * w.stride + w.offset) * source_.column_stride;
    A* const to = patch - block_.first_k;
    for (int64_t row_k = first_row_ * depth; row_k < last_k; row_k += depth) {
      const int64_t high = smaller(row_k + depth, last_k);
      for (int64_t k = larger(row_k, block_.first_k); k < high; k += lanes<A>)
        store(to + k, load(from + (k - row_k)));
      from += h.dilation * source_.row_stride;
    }
  }

  // Neighbouring filter columns whose samples follow each other in memory are copied as one run.
  int64_t columns_per_run() const {
    const bool dense = source_.channel_stride == 1 && source_.lattice.w.dilation == 1 &&
                       source_.column_stride == source_.channels;
    return dense ? source_.lattice.w.taps : 1;
  }

  void gather_pixel(int64_t i, int64_t j, A* patch) const {
    const CorrelationAxis& w = source_.lattice.w;
    const int64_t run = columns_per_run();
    for (int64_t s = 0; s < w.taps; s += run) {
      const int64_t x = j * w.stride + w.offset + s * w.dilation;
      gather_columns(i, x, s, run, inside(run, w.dilation, x, w.source), patch);
    }
  }

  // Filter columns [s, s + run) of every filter row; of them `columns` lie inside the source, the
  // first one at x.
  CNNOPS_INLINE void gather_columns(int64_t i, int64_t x, int64_t s, int64_t run, Range columns,
                                    A* patch) const {
    const CorrelationAxis& h = source_.lattice.h;
    const int64_t last_k = block_.first_k + block_.depth;
    int64_t y = i * h.stride + h.offset + first_row_ * h.dilation;
    for (int64_t row_k = first_row_ * row_depth(); row_k < last_k;
         row_k += row_depth(), y += h.dilation) {
      const bool row_inside = y >= 0 && y < h.source;
      copy_clipped(source_.data + y * source_.row_stride + x * source_.column_stride, row_k, s, run,
                   row_inside ? columns : Range{0, 0}, patch);
    }
  }

  // Filter columns [s, s + run) of the filter row that starts at `row_k`; of them `valid` lie
  // inside the source, and `from` is the sample of the first one.
  CNNOPS_INLINE void copy_clipped(const T* from, int64_t row_k, int64_t s, int64_t run, Range valid,
                                  A* patch) const {
    const int64_t channels = source_.channels;
    const int64_t start = row_k + s * channels;
    const int64_t low = larger(start, block_.first_k);
    const int64_t high = smaller(start + run * channels, block_.first_k + block_.depth);
    const int64_t copy_low = larger(low, start + valid.first * channels);
    const int64_t copy_high = smaller(high, start + valid.last * channels);
    A* to = patch - block_.first_k;
    if (copy_low >= copy_high) {
      fill_run(to + low, A(0), high - low);
      return;
    }
    fill_run(to + low, A(0), copy_low - low);
    load_run(from + (copy_low - start) * source_.channel_stride, source_.channel_stride,
             to + copy_low, copy_high - copy_low);
    fill_run(to + copy_high, A(0), high - copy_high);
  }

  const PatchSource<T>& source_;
  const PatchBlock& block_;
  A* patches_;
  int64_t row_;
  int64_t first_row_;  // of the filter, in the block
};

// Columns of patches, patches[(k - first_k) * row + pixel], for sources whose columns are
// contiguous.
template <class T>
class PatchColumns {
 public:
  using A = Accumulate<T>;

  // A piece of an output row: `zeros_before` zeros, `copied` samples from `from` on, `zeros_after`
  // zeros.
  struct Segment {
    int64_t from, zeros_before, copied, zeros_after;
  };

  // `segments` holds block.pixels entries.
  PatchColumns(const PatchSource<T>& source, const PatchBlock& block, A* patches, int64_t row,
               Segment* segments)
      : source_(source), block_(block), patches_(patches), row_(row), segments_(segments) {}

  void gather() {
    const int64_t channels = source_.channels;
    const int64_t last_k = block_.first_k + block_.depth;
    for (int64_t k = block_.first_k; k < last_k;) {
      const int64_t tap = k / channels;
      const int64_t last_of_tap = smaller(last_k, (tap + 1) * channels);
      const int64_t count =
          find_segments(tap / source_.lattice.w.taps, tap % source_.lattice.w.taps);
      for (; k < last_of_tap; ++k) {
        const T* channel = source_.data + (k - tap * channels) * source_.channel_stride;
        A* row = patches_ + (k - block_.first_k) * row_;
        copy_segments(channel, count, row);
      }
    }
  }

 private:
  int64_t find_segments(int64_t r, int64_t s) {
    const CorrelationAxis &h = source_.lattice.h, &w = source_.lattice.w;
    int64_t count = 0;
    const int64_t last_pixel = block_.first_pixel + block_.pixels;
    int64_t i = block_.first_pixel / w.count, j = block_.first_pixel % w.count;
    for (int64_t pixel = block_.first_pixel; pixel < last_pixel; ++i, j = 0) {
      const int64_t length = smaller(w.count - j, last_pixel - pixel);
      const int64_t y = i * h.stride + h.offset + r * h.dilation;
      const int64_t x = j * w.stride + w.offset + s * w.dilation;
      const bool row_inside = y >= 0 && y < h.source;
      const Range valid = row_inside ? inside(length, w.stride, x, w.source) : Range{0, 0};
      const int64_t first_x = x + valid.first * w.stride;
      append({y * source_.row_stride + first_x * source_.column_stride, valid.first,
              valid.last - valid.first, length - valid.last},
             count);
      pixel += length;
    }
    return count;
  }

  // Rows that follow each other in memory as in the block become one segment.
  CNNOPS_INLINE void append(const Segment& next, int64_t& count) {
    if (count > 0) {
      Segment& last = segments_[count - 1];
      const int64_t step = source_.lattice.w.stride * source_.column_stride;
      if (last.zeros_after == 0 && next.zeros_before == 0 && last.copied > 0 && next.copied > 0 &&
          last.from + last.copied * step == next.from) {
        last.copied += next.copied;
        last.zeros_after = next.zeros_after;
        return;
      }
    }
    segments_[count++] = next;
  }

  CNNOPS_INLINE void copy_segments(const T* channel, int64_t count, A* to) const {
    const int64_t step = source_.lattice.w.stride * source_.column_stride;
    for (int64_t g = 0; g < count; ++g) {
      const Segment& segment = segments_[g];
      fill_run(to, A(0), segment.zeros_before);
      to += segment.zeros_before;
      load_run(channel + segment.from, step, to, segment.copied);
      to += segment.copied;
      fill_run(to, A(0), segment.zeros_after);
      to += segment.zeros_after;
    }
  }

  const PatchSource<T>& source_;
  const PatchBlock& block_;
  A* patches_;
  int64_t row_;
  Segment* segments_;
};

}  // namespace cnnops::CNNOPS_TARGET
