#include "lattice_tables.h"

#include <algorithm>

namespace cnnops::cuda {
namespace {

// Copies axes [first, first + kAxes) into a table; returns how many there are.
int copy_axes(const std::vector<CorrelationAxis>& axes, size_t first, LatticeAxis* to) {
  const size_t count = std::min<size_t>(axes.size() - first, kAxes);
  for (size_t i = 0; i < count; ++i) to[i] = {axes[first + i], divider(axes[first + i].count)};
  return static_cast<int>(count);
}

}  // namespace

Lattices lattices_of(const Conv2dProblem& problem) {
  const WindowGrid grid = window_grid(problem.shape);
  if (problem.pass == Conv2dPass::kForward) return reachable(forward_lattices(grid));
  return reachable(
      gradient_lattices({separate_single_window(grid.h), separate_single_window(grid.w)}));
}

std::vector<LatticeTable> lattice_tables(const Lattices& lattices) {
  std::vector<LatticeTable> tables;
  for (size_t row = 0; row < lattices.rows.size(); row += kAxes) {
    for (size_t column = 0; column < lattices.columns.size(); column += kAxes) {
      LatticeTable& table = tables.emplace_back();
      table.row_count = copy_axes(lattices.rows, row, table.rows);
      table.column_count = copy_axes(lattices.columns, column, table.columns);
    }
  }
  return tables;
}

LatticeTable empty_windows(Pair map) {
  const auto axis = [](int64_t size) {
    CorrelationAxis one{};
    one.step = one.stride = one.dilation = 1;
    one.source = one.count = size;
    return LatticeAxis{one, divider(size)};
  };
  LatticeTable table{};
  table.row_count = table.column_count = 1;
  table.rows[0] = axis(map.h);
  table.columns[0] = axis(map.w);
  return table;
}

}  // namespace cnnops::cuda
