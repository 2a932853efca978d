// The filter of a correlation in the order in which register tiles read it.
#pragma once

#include "operands.h"
#include "runs.h"
#include "transpose.h"

namespace cnnops::CNNOPS_TARGET {

// The filter of one correlation as panels of `width` result channels: [group][panel][k][width],
// zeros at the end of the last panel. width is a tile's columns where channels fill vectors, a
// tile's rows where they are broadcast.
template <class A>
struct PackedFilter {
  int64_t depth, width, panels;  // panels of a group
  A* data;

  A* panel(int64_t group, int64_t index) const {
    return data + (group * panels + index) * depth * width;
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
  Accumulate<T>* to = packed.panel(group, panel);
  for (int64_t r = 0; r < lattice.h.taps; ++r) {
    for (int64_t s = 0; s < lattice.w.taps; ++s, to += operands.reduce * packed.width) {
      const T* tap = filter.data + group * filter.group_stride + first * filter.produce_stride +
                     (lattice.h.tap_first + r * lattice.h.tap_step) * filter.row_stride +
                     (lattice.w.tap_first + s * lattice.w.tap_step) * filter.column_stride;
      pack_tap(tap, filter.produce_stride, filter.reduce_stride, to, packed.width, channels,
               operands.reduce);
    }
  }
}

}  // namespace cnnops::CNNOPS_TARGET
