// What the forms of a depthwise weight gradient share: for each channel and tap, the product of the
// input and grad_output is summed over all pixels. kTapsAtOnce taps are summed in registers in one
// pass over the pixels.
#pragma once

#include "../correlation.h"
#include "operand_lanes.h"

namespace cnnops::CNNOPS_TARGET {

// Taps summed in registers: those of a 3 x 3 filter.
inline constexpr int64_t kTapsAtOnce = 9;

// Some taps of a filter, and how far behind the first sample of a window they read; missing ones
// repeat the last.
struct TapList {
  int64_t count = 0;
  int64_t row[kTapsAtOnce], column[kTapsAtOnce];  // of the filter
  int64_t index[kTapsAtOnce];
  int64_t offset[kTapsAtOnce];

  CNNOPS_INLINE void add(int64_t r, int64_t s, int64_t tap, int64_t at) {
    row[count] = r, column[count] = s, index[count] = tap;
    offset[count++] = at;
  }
  CNNOPS_INLINE void fill() {
    for (int64_t i = count; i < kTapsAtOnce; ++i) offset[i] = offset[count - 1];
  }
};

// Calls visit(list) for all taps of some rows and columns of a filter; at(r, s) is their offset.
template <class At, class Visit>
CNNOPS_INLINE void visit_taps(Range rows, Range columns, int64_t kernel_columns, At at,
                              Visit visit) {
  TapList list;
  for (int64_t r = rows.first; r < rows.last; ++r) {
    for (int64_t s = columns.first; s < columns.last; ++s) {
      list.add(r, s, r * kernel_columns + s, at(r, s));
      if (list.count < kTapsAtOnce) continue;
      visit(list);
      list.count = 0;
    }
  }
  if (list.count == 0) return;
  list.fill();
  visit(list);
}

// The operands of a weight gradient, and the correlation whose windows are summed.
template <class T>
struct DepthwiseProducts {
  Conv2dShape shape;
  Correlation lattice;
  Values<T> input, grad_output;
};

// Channels of a run of images.
struct ProductBlock {
  Range images;
  int64_t channel, count;
};

// The sums of a block: data[tap * row + channel].
template <class A>
struct TapSums {
  A* data;
  int64_t row;

  // Adds those of [channel][tap], a vector each, lane by lane.
  void add(const A* vectors, int64_t channels, int64_t taps) const {
    for (int64_t channel = 0; channel < channels; ++channel) {
      for (int64_t tap = 0; tap < taps; ++tap, vectors += lanes<A>)
        data[tap * row + channel] += sum_of(vectors);
    }
  }

 private:
  static A sum_of(const A* vector) {
    A sum = 0;
    for (int64_t lane = 0; lane < lanes<A>; ++lane) sum += vector[lane];
    return sum;
  }
};

}  // namespace cnnops::CNNOPS_TARGET
