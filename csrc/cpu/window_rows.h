// Source rows of contiguous maps, prepared for windows: widened, padded with `outside`, and split
// by residue modulo the stride, after which a tap of consecutive results is a contiguous load.
#pragma once

#include "window_problem.h"

namespace cnnops::CNNOPS_TARGET {

// How source rows lie in scratch memory: one array for each residue modulo the stride that a tap
// needs, each of `length` samples; index m of the array of residue f holds source column
// (low + block * columns + m) * stride + f.
struct RowLayout {
  int64_t columns;  // results of a block of columns
  int64_t blocks;
  int64_t stride, low, length;
  int64_t residue_count;
  int64_t* residues;
  int64_t* tap_base;  // of each lattice's taps, one lattice after another: array * length + index
                      // for result 0

  int64_t row_size() const { return residue_count * length; }
};

inline constexpr int64_t kBlockColumns = 2048;

CNNOPS_INLINE int64_t total_taps(const Lattices& axes) {
  int64_t taps = 0;
  for (const CorrelationAxis& axis : axes.columns) taps += axis.taps;
  return taps;
}

// Source rows that one window can need.
CNNOPS_INLINE int64_t most_source_rows(const Lattices& axes) {
  int64_t rows = 0;
  for (const CorrelationAxis& axis : axes.rows)
    rows = larger(rows, smaller(axis.taps, axis.source));
  return rows;
}

// Sizes alone; the residues and bases are filled by fill_row_layout.
template <class A>
RowLayout measure_row_layout(const Lattices& axes) {
  RowLayout layout{};
  layout.stride = axes.columns.empty() ? 1 : axes.columns[0].stride;
  int64_t low = INT64_MAX, high = INT64_MIN, most = 0;
  for (const CorrelationAxis& axis : axes.columns) {
    const int64_t first = divide_down(axis.offset, layout.stride);
    const int64_t last = divide_down(axis.offset + (axis.taps - 1) * axis.dilation, layout.stride);
    low = smaller(low, first);
    high = larger(high, last);
    most = larger(most, axis.count);
  }
  layout.columns = round_up(smaller(most, kBlockColumns), lanes<A>);
  layout.blocks = most > 0 ? divide_up(most, layout.columns) : 0;
  layout.low = low;
  layout.length = most > 0 ? high - low + layout.columns : 0;
  layout.residue_count = smaller(layout.stride, total_taps(axes));
  return layout;
}

CNNOPS_INLINE void fill_row_layout(const Lattices& axes, RowLayout& layout) {
  int64_t known = 0, tap = 0;
  for (const CorrelationAxis& axis : axes.columns) {
    for (int64_t t = 0; t < axis.taps; ++t, ++tap) {
      const int64_t x = axis.offset + t * axis.dilation;
      const int64_t index = divide_down(x, layout.stride), residue = x - index * layout.stride;
      int64_t array = 0;
      while (array < known && layout.residues[array] != residue) ++array;
      if (array == known) layout.residues[known++] = residue;
      layout.tap_base[tap] = array * layout.length + index - layout.low;
    }
  }
  layout.residue_count = known;
}

// Prepared rows that are kept for the next windows, and vectors a State may have.
inline constexpr int64_t kKeptRows = 8, kStateVectors = 4;

// Scratch memory of one thread: a cache of prepared rows; the states, own samples and results of a
// block.
template <class A>
struct WindowScratch {
  int64_t kept_rows, row_size;
  int64_t* tags;  // which source row is kept where
  A *first, *second, *third;
  A *states, *own, *result, *extra;

  WindowScratch(const RowLayout& layout, const Lattices& axes, int operands, Arena& arena)
      : kept_rows(smaller(most_source_rows(axes), kKeptRows)),
        row_size(layout.row_size()),
        tags(arena.take<int64_t>(kept_rows)) {
    first = arena.take<A>(kept_rows * row_size);
    second = arena.take<A>(operands > 1 ? kept_rows * row_size : 0);
    third = arena.take<A>(operands > 2 ? kept_rows * row_size : 0);
    states = arena.take<A>(kStateVectors * layout.columns);
    own = arena.take<A>(layout.columns);
    result = arena.take<A>(layout.columns);
    extra = arena.take<A>(layout.columns);
  }
};

CNNOPS_INLINE void take_row_tables(RowLayout& layout, const Lattices& axes, Arena& arena) {
  layout.residues = arena.take<int64_t>(layout.residue_count);
  layout.tap_base = arena.take<int64_t>(total_taps(axes));
}

template <class A>
int64_t window_workspace(const Lattices& axes, int operands, int64_t threads) {
  RowLayout layout = measure_row_layout<A>(axes);
  Arena arena;
  take_row_tables(layout, axes, arena);
  return workspace_bytes(arena, threads,
                         [&](Arena& own) { return WindowScratch<A>(layout, axes, operands, own); });
}

}  // namespace cnnops::CNNOPS_TARGET
