// The taps of windows one sample apart that leave dense maps their size: sample and window of the same
// index lie in the same place, so that each tap is one distance from windows to samples, through all maps as
// if they were one. Bits tell in which lanes of a map's vectors it leads to a sample of the map.
#pragma once

#include "../correlation.h"
#include "vector.h"

namespace cnnops::CNNOPS_TARGET {

// Whether maps lie in memory without gaps, one after another.
inline bool is_dense(const Strides4& stride, int64_t channels, Pair map) {
  return stride.w == 1 && stride.h == map.w && stride.c == map.h * map.w &&
         stride.n == channels * map.h * map.w;
}

// Bits of the first lanes.
CNNOPS_INLINE uint16_t lane_bits(int64_t count) { return uint16_t((1u << count) - 1u); }

// Bits of the lanes of a vector from a column on that lie in a row of samples.
template <class A>
uint16_t lanes_between(int64_t column, int64_t width) {
  const int64_t before = larger<int64_t>(0, smaller(lanes<A>, -column));
  const int64_t end = larger<int64_t>(0, smaller(lanes<A>, width - column));
  return uint16_t(lane_bits(end) & ~lane_bits(before));
}

template <class A, int64_t kMostTaps, int64_t kMostVectors>
class Shifts {
 public:
  explicit Shifts(const WindowGrid& grid) : taps(grid.h.kernel * grid.w.kernel) {
    for (int64_t tap = 0; tap < taps; ++tap) find_tap(grid, tap);
  }

  // From a window to its last sample, and as far back to its first.
  int64_t reach() const { return distance[taps - 1]; }

  int64_t taps;
  int64_t distance[kMostTaps];                  // from a window to its sample
  uint16_t bits[kMostTaps][kMostVectors] = {};  // lanes whose sample lies in the map

 private:
  void find_tap(const WindowGrid& grid, int64_t tap) {
    const int64_t down = tap / grid.w.kernel * grid.h.dilation - grid.h.padding;
    const int64_t right = tap % grid.w.kernel * grid.w.dilation - grid.w.padding;
    const int64_t width = grid.w.input, size = grid.h.input * width;
    distance[tap] = down * width + right;
    uint16_t* const of = bits[tap];
    for (int64_t v = 0; v < size / lanes<A>; ++v) of[v] = lane_bits(lanes<A>);
    if (size % lanes<A> > 0) of[size / lanes<A>] = lane_bits(size % lanes<A>);
    clear(of, 0, smaller(size, -down * width));
    clear(of, larger<int64_t>(0, size - down * width), size);
    for (int64_t row = 0; row < size; row += width) {
      clear(of, row, row + smaller(width, -right));
      clear(of, row + larger<int64_t>(0, width - right), row + width);
    }
  }

  // The bits [first, last), if there are any.
  static void clear(uint16_t* bits, int64_t first, int64_t last) {
    while (first < last) {
      const int64_t lane = first % lanes<A>, count = smaller(lanes<A> - lane, last - first);
      bits[first / lanes<A>] &= uint16_t(~(lane_bits(count) << lane));
      first += count;
    }
  }
};

}  // namespace cnnops::CNNOPS_TARGET
