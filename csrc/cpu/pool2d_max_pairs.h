// The gradient of max pooling by windows of two columns that tile contiguous maps, the commonest
// ones: every sample has one window, whose gradient it takes or not, so that rows are written in
// whole vectors without a sum or a branch.
#pragma once

#include "blocking.h"
#include "pool2d_tile.h"
#include "runs.h"

namespace cnnops::CNNOPS_TARGET {

// Samples of a task's maps, about.
inline constexpr int64_t kPairSamples = 16384;

template <class A, class Offset>
class MaxPairs {
 public:
  // Rows that leave much of a vector empty are MaxScatter's.
  static bool supports(const Pool2dProblem& problem, const MaxPool2dTensors& tensors) {
    const Pool2dShape& shape = problem.shape;
    return !problem.channels_last && 4 * shape.output.w >= 3 * lanes<A> && shape.kernel.w == 2 &&
           shape.stride.w == 2 && shape.stride.h == shape.kernel.h && shape.padding.h == 0 &&
           shape.padding.w == 0 && is_dense(shape, tensors.values.stride) &&
           is_dense(shape, tensors.offsets.stride);
  }

  MaxPairs(const Pool2dProblem& problem, const MaxPool2dTensors& tensors)
      : shape_(problem.shape),
        size_(shape_.input.h * shape_.input.w),
        windows_(shape_.output.h * shape_.output.w),
        gradients_(static_cast<const A*>(tensors.values.data)),
        offsets_(static_cast<const Offset*>(tensors.offsets.data)),
        result_(static_cast<A*>(tensors.result.data)) {}

  void run(const Execution& execution) const {
    const int64_t maps = shape_.batch * shape_.channels;
    const Blocking runs = blocking(maps, larger<int64_t>(1, kPairSamples / size_), 1);
    parallel(execution, runs.count, [&](int64_t run, int64_t) {
      const int64_t first = run * runs.size, last = smaller(first + runs.size, maps);
      for (int64_t map = first; map < last; ++map) write_map(map, last);
    });
  }

 private:
  // Whether outputs lie in memory without gaps, map after map.
  static bool is_dense(const Pool2dShape& shape, const Strides4& stride) {
    const int64_t row = shape.output.w, map = shape.output.h * row;
    return stride.w == 1 && stride.h == row && stride.c == map && stride.n == shape.channels * map;
  }

  // Of maps up to `last`. What a vector writes behind its row is written again by the rows to come.
  void write_map(int64_t map, int64_t last) const {
    const int64_t end = (map + 1) * size_;
    int64_t window = map * windows_, sample = map * size_;
    for (int64_t p = 0; p < shape_.output.h; ++p, window += shape_.output.w) {
      for (int64_t r = 0; r < shape_.kernel.h && sample < end; ++r, sample += shape_.input.w) {
        const int64_t room = smaller(last * windows_ - window, (last * size_ - sample) / 2);
        write_row(gradients_ + window, offsets_ + window, Int<A>(2 * r), room, result_ + sample);
      }
    }
    fill_run(result_ + sample, A(0), end - sample);
  }

  // `tap` is the offset of a window's first sample in this row; `room` windows, and two
  // samples for each, lie in the task's maps from here on.
  void write_row(const A* gradients, const Offset* offsets, Int<A> tap, int64_t room,
                 A* row) const {
    const int64_t whole = smaller(shape_.output.w, shape_.input.w / 2);
    int64_t q = 0;
    for (; q < whole && q + lanes<A> <= room; q += lanes<A>) {
      const Ints<A> offset = bit_cast<Ints<A>>(load_lanes<A>(offsets + q));
      const Vec<A> gradient = load(gradients + q);
      const Vec<A> left = won(gradient, offset, tap), right = won(gradient, offset, tap + 1);
      store(row + 2 * q, interleave_low<A>(left, right));
      store(row + 2 * q + lanes<A>, interleave_high<A>(left, right));
    }
    for (; q < whole; ++q) {
      row[2 * q] = won(gradients[q], offsets[q], tap);
      row[2 * q + 1] = won(gradients[q], offsets[q], tap + 1);
    }
    if (2 * whole == shape_.input.w) return;
    row[2 * whole] = whole < shape_.output.w ? won(gradients[whole], offsets[whole], tap) : A(0);
  }

  // A sum of one gradient at most: zeros have no sign.
  static CNNOPS_INLINE Vec<A> won(Vec<A> gradient, Ints<A> offset, Int<A> tap) {
    return Vec<A>{} + bit_cast<Vec<A>>(bit_cast<Ints<A>>(gradient) & (offset == splat_int<A>(tap)));
  }
  static CNNOPS_INLINE A won(A gradient, Offset offset, Int<A> tap) {
    return Int<A>(offset) == tap ? A(0) + gradient : A(0);
  }

  Pool2dShape shape_;
  int64_t size_, windows_;  // samples and windows of a map
  const A* gradients_;
  const Offset* offsets_;
  A* result_;
};

}  // namespace cnnops::CNNOPS_TARGET
