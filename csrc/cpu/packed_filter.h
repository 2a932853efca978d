// The filter of a correlation in the order in which register tiles read it.
#pragma once

#include "operands.h"
#include "runs.h"
#include "transpose.h"

namespace cnnops::CNNOPS_TARGET {

// The filter of one correlation as panels of `width` result channels, for a block of k at a time:
// [group][block][panel][k][width], zeros at the end of the last panel. width is a tile's columns where
// channels fill vectors, a tile's rows where they are broadcast.
template <class A>
struct PackedFilter {
  int64_t depth, block, width, panels;  // panels of a group
  A* data;

  // Of the block that starts at k.
  int64_t depth_from(int64_t k) const { return smaller(block, depth - k); }
  // From one panel to the next in that block.
  int64_t panel_stride(int64_t k) const { return depth_from(k) * width; }

  A* at(int64_t group, int64_t panel, int64_t k) const {
    const int64_t first = k / block * block;
    return data + (group * depth + first) * panels * width + panel * panel_stride(first) +
           (k - first) * width;
  }
};

// to[c * width + o] = from[o * produce_stride + c * reduce_stride], zeros behind the last channel o.
template <class T>
void pack_tap(const T* from, int64_t produce_stride, int64_t reduce_stride, Accumulate<T>* to,
              int64_t width, int64_t channels, int64_t reduce) {
  if (reduce_stride == 1 && produce_stride != 1) {
    transpose_copy(from, produce_stride, to, width, channels, reduce);
  } else {
    for (int64_t c = 0; c < reduce; ++c)
      load_run(from + c * reduce_stride, produce_stride, to + c * width, channels);
  }
  if (channels == width) return;
  for (int64_t c = 0; c < reduce; ++c)
    fill_run(to + c * width + channels, Accumulate<T>(0), width - channels);
}

template <class T>
void pack_panel(const CorrelationOperands<T>& operands, const Correlation& lattice,
                const PackedFilter<Accumulate<T>>& packed, int64_t group, int64_t panel) {
  const FilterView<T>& filter = operands.filter;
  const int64_t first = panel * packed.width;
  const int64_t channels = smaller(packed.width, operands.produce - first);
  for (int64_t k = 0, count; k < packed.depth; k += count) {
    const int64_t tap = k / operands.reduce, c = k % operands.reduce;
    const int64_t r = tap / lattice.w.taps, s = tap % lattice.w.taps;
    count = smaller(operands.reduce - c,
                    packed.depth_from(k / packed.block * packed.block) - k % packed.block);
    const T* from = filter.data + group * filter.group_stride + first * filter.produce_stride +
                    c * filter.reduce_stride +
                    (lattice.h.tap_first + r * lattice.h.tap_step) * filter.row_stride +
                    (lattice.w.tap_first + s * lattice.w.tap_step) * filter.column_stride;
    pack_tap(from, filter.produce_stride, filter.reduce_stride, packed.at(group, panel, k),
             packed.width, channels, count);
  }
}

}  // namespace cnnops::CNNOPS_TARGET
