// Slabs: a strip of a few channels' rows in scratch memory, padded with zeros and split by residue
// modulo the stride, so that every tap of a window sees its samples of consecutive outputs side by
// side.
//
//   slab[channel][row residue][column residue][row][column]
//
// Output (i, j) of a strip is pixel i * row_pitch + j. It reads tap (r, s) at slab_offset(r, s) +
// pixel: one unaligned load for a vector of pixels, whatever the stride, dilation or padding.
// Between the rows' last outputs and the next ones lie some pixels that stand for no output.
#pragma once

#include "operands.h"
#include "runs.h"
#include "transpose.h"

namespace cnnops::CNNOPS_TARGET {

// Elements of a slab, and channels of a few groups, about.
inline constexpr int64_t kSlabElements = 40960, kSlabChannels = 16;

// The samples that a strip of outputs of some lattices reaches along an axis; the lattices have one
// stride.
struct SlabAxis {
  int64_t low;     // the first sample that output 0 reads
  int64_t window;  // samples that one output of all lattices reaches
  int64_t stride, outputs;

  explicit SlabAxis(const std::vector<CorrelationAxis>& lattices)
      : low(lattices[0].offset), window(1), stride(lattices[0].stride), outputs(0) {
    for (const CorrelationAxis& axis : lattices) low = smaller(low, axis.offset);
    for (const CorrelationAxis& axis : lattices) {
      outputs = larger(outputs, axis.count);
      window = larger(window, axis.offset - low + (axis.taps - 1) * axis.dilation + 1);
    }
  }
  // Samples of one residue that `count` outputs reach.
  int64_t samples(int64_t count) const { return count + (window - 1) / stride; }
};

class Slab {
 public:
  // For strips of at most `rows` rows of outputs.
  Slab(const SlabAxis& h, const SlabAxis& w, int64_t rows)
      : h_(h), w_(w), row_pitch_(w.samples(w.outputs)), plane_(h.samples(rows) * row_pitch_) {
    // An odd number of cache lines: channels spread over all sets of a cache.
    channel_pitch_ = (divide_up(h.stride * w.stride * plane_, 16) | 1) * 16;
  }

  int64_t row_pitch() const { return row_pitch_; }
  int64_t channel_pitch() const { return channel_pitch_; }

  int64_t tap_offset(const Correlation& lattice, int64_t r, int64_t s) const {
    const int64_t y = lattice.h.offset + r * lattice.h.dilation - h_.low;
    const int64_t x = lattice.w.offset + s * lattice.w.dilation - w_.low;
    return (y % h_.stride * w_.stride + x % w_.stride) * plane_ + y / h_.stride * row_pitch_ +
           x / w_.stride;
  }

  // Fills the slab of `channels` from `source`'s channel 0 on, for outputs from row `first` on.
  template <class T>
  void fill(const T* source, const Strides4& stride, Pair map, int64_t channels, int64_t first,
            Accumulate<T>* slab) const {
    if (stride.c == 1) return fill_channels(source, stride, map, channels, first, slab);
    for (int64_t c = 0; c < channels; ++c)
      fill_channels(source + c * stride.c, stride, map, 1, first, slab + c * channel_pitch_);
  }

 private:
  template <class T>
  void fill_channels(const T* source, const Strides4& stride, Pair map, int64_t channels,
                     int64_t first, Accumulate<T>* slab) const {
    const int64_t rows = plane_ / row_pitch_;
    for (int64_t column = 0; column < w_.stride; ++column) {
      const int64_t x = w_.low + column;
      const Range valid = inside(row_pitch_, w_.stride, x, map.w);
      const T* from = source + (x + valid.first * w_.stride) * stride.w;
      for (int64_t residue = 0; residue < h_.stride; ++residue) {
        Accumulate<T>* to = slab + (residue * w_.stride + column) * plane_;
        int64_t y = h_.low + first * h_.stride + residue;
        for (int64_t row = 0; row < rows; ++row, y += h_.stride, to += row_pitch_) {
          const bool inside_map = y >= 0 && y < map.h;
          fill_row(from + y * stride.h, w_.stride * stride.w, stride.c, channels,
                   inside_map ? valid : Range{0, 0}, to);
        }
      }
    }
  }

  // One row of every channel: zeros but for the samples `valid`, which start at `from`.
  template <class T>
  void fill_row(const T* from, int64_t step, int64_t channel_step, int64_t channels, Range valid,
                Accumulate<T>* to) const {
    for (int64_t c = 0; c < channels; ++c) clear_ends(to + c * channel_pitch_, valid);
    const int64_t count = valid.last - valid.first;
    to += valid.first;
    if (channel_step == 1 && step != 1) {
      transpose_copy(from, step, to, channel_pitch_, count, channels);
    } else {
      for (int64_t c = 0; c < channels; ++c)
        load_run(from + c * channel_step, step, to + c * channel_pitch_, count);
    }
  }

  // Zeros before and behind the samples; a vector at each end may cover samples to come.
  template <class A>
  CNNOPS_INLINE void clear_ends(A* row, Range valid) const {
    const int64_t rest = row_pitch_ - valid.last;
    if (row_pitch_ >= lanes<A> && valid.first <= lanes<A> && rest <= lanes<A>) {
      store(row, Vec<A>{});
      store(row + row_pitch_ - lanes<A>, Vec<A>{});
    } else {
      fill_run(row, A(0), valid.first);
      fill_run(row + valid.last, A(0), rest);
    }
  }

  SlabAxis h_, w_;
  int64_t row_pitch_, plane_, channel_pitch_;
};

}  // namespace cnnops::CNNOPS_TARGET
