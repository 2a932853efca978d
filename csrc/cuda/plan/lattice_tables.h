// Lattices of a correlation (correlation.h) in portions that fit the parameters of a launch.
#pragma once

#include <vector>

#include "../../conv2d_problem.h"
#include "../conv2d_parameters.h"

namespace cnnops::cuda {

// Those of the pass, kForward or kInputGrad, without the taps that lie outside the map everywhere.
Lattices lattices_of(const Conv2dProblem& problem);

std::vector<LatticeTable> lattice_tables(const Lattices& lattices);

// One lattice without taps over a whole map.
LatticeTable empty_windows(Pair map);

// The most of function(row axis, column axis) in a table.
template <class Function>
int64_t most(const LatticeTable& table, Function function) {
  int64_t result = 0;
  for (int row = 0; row < table.row_count; ++row) {
    for (int column = 0; column < table.column_count; ++column) {
      const int64_t value = function(table.rows[row].axis, table.columns[column].axis);
      result = value > result ? value : result;
    }
  }
  return result;
}

inline int64_t most_taps(const LatticeTable& table) {
  return most(table,
              [](const CorrelationAxis& h, const CorrelationAxis& w) { return h.taps * w.taps; });
}
inline int64_t most_outputs(const LatticeTable& table) {
  return most(table,
              [](const CorrelationAxis& h, const CorrelationAxis& w) { return h.count * w.count; });
}
inline int64_t lattice_count(const LatticeTable& table) {
  return int64_t(table.row_count) * table.column_count;
}

}  // namespace cnnops::cuda
