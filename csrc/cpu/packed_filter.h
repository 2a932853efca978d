// The filter of a correlation in the order in which register tiles read it.
#pragma once

#include "operands.h"
#include "runs.h"

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

template <class T>
void pack_panel(const CorrelationOperands<T>& operands, const Correlation& lattice,
                const PackedFilter<Accumulate<T>>& packed, int64_t group, int64_t panel) {
  using A = Accumulate<T>;
  const FilterView<T>& filter = operands.filter;
  const int64_t first = panel * packed.width;
  const int64_t channels = smaller(packed.width, operands.produce - first);
  A* to = packed.panel(group, panel);
  for (int64_t r = 0; r < lattice.h.taps; ++r) {
    for (int64_t s = 0; s < lattice.w.taps; ++s) {
      const T* tap = filter.data + group * filter.group_stride + first * filter.produce_stride +
                     (lattice.h.tap_first + r * lattice.h.tap_step) * filter.row_stride +
                     (lattice.w.tap_first + s * lattice.w.tap_step) * filter.column_stride;
      for (int64_t c = 0; c < operands.reduce; ++c, to += packed.width) {
        load_run(tap + c * filter.reduce_stride, filter.produce_stride, to, channels);
        fill_run(to + channels, A(0), packed.width - channels);
      }
    }
  }
}

}  // namespace cnnops::CNNOPS_TARGET
