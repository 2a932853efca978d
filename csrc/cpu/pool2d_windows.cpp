#include "pool2d_windows.h"

#include <algorithm>
#include <vector>

namespace cnnops {
namespace {

// Division rounded up, for positive b.
int64_t divide_up(int64_t a, int64_t b) { return a > 0 ? (a + b - 1) / b : -(-a / b); }

// What result i of a lattice covers. Without any sample the position stays inside the window.
Reach reach_of(const CorrelationAxis& axis, int64_t i) {
  const int64_t start = i * axis.stride + axis.offset;
  const int64_t first = std::clamp<int64_t>(divide_up(-start, axis.dilation), 0, axis.taps);
  const int64_t last =
      std::clamp<int64_t>(divide_up(axis.source - start, axis.dilation), first, axis.taps);
  const int64_t tap = axis.tap_first + std::min(first, axis.taps - 1) * axis.tap_step;
  if (first == last) return {0, 0, tap};
  return {start + first * axis.dilation, last - first, tap};
}

Reach* reaches(const std::vector<CorrelationAxis>& axes, int64_t size) {
  Reach* all = new Reach[size]();
  for (const CorrelationAxis& axis : axes) {
    for (int64_t i = 0; i < axis.count; ++i) all[axis.first + i * axis.step] = reach_of(axis, i);
  }
  return all;
}

bool continues(const WindowRun& run, const Reach& reach) {
  const int64_t source = run.reach.taps == 0 ? 0 : run.reach.source + run.count * run.stride;
  return reach.taps == run.reach.taps && reach.tap == run.reach.tap && reach.source == source;
}

void append_runs(const CorrelationAxis& axis, std::vector<WindowRun>& runs) {
  const size_t before = runs.size();
  for (int64_t i = 0; i < axis.count; ++i) {
    const Reach reach = reach_of(axis, i);
    if (runs.size() > before && continues(runs.back(), reach)) {
      ++runs.back().count;
    } else {
      runs.push_back({axis.first + i * axis.step, axis.step, 1, axis.stride, reach});
    }
  }
}

// The results between those of the lattices: nothing covers them.
void append_uncovered(const std::vector<CorrelationAxis>& axes, int64_t size,
                      std::vector<WindowRun>& runs) {
  std::vector<bool> covered(size);
  for (const CorrelationAxis& axis : axes) {
    for (int64_t i = 0; i < axis.count; ++i) covered[axis.first + i * axis.step] = true;
  }
  for (int64_t i = 0; i < size; ++i) {
    if (covered[i]) continue;
    if (i > 0 && !covered[i - 1]) {
      ++runs.back().count;
    } else {
      runs.push_back({i, 1, 1, 0, {0, 0, 0}});
    }
  }
}

Pair window_extents(const Pool2dShape& shape) {
  return {window_extent(shape.kernel.h, shape.dilation.h),
          window_extent(shape.kernel.w, shape.dilation.w)};
}

}  // namespace

PoolWindows::PoolWindows(const Lattices& lattices, Pair source, Pair result, int64_t kernel_columns,
                         const Growth& growth)
    : source(source),
      result(result),
      dilation{},
      tap_step{},
      kernel_columns(kernel_columns),
      rows(reaches(lattices.rows, result.h)),
      growth_(growth) {
  if (!lattices.rows.empty() && !lattices.columns.empty()) {
    dilation = {lattices.rows[0].dilation, lattices.columns[0].dilation};
    tap_step = {lattices.rows[0].tap_step, lattices.columns[0].tap_step};
  }
  std::vector<WindowRun> all;
  for (const CorrelationAxis& axis : lattices.columns) append_runs(axis, all);
  append_uncovered(lattices.columns, result.w, all);
  run_count = int64_t(all.size());
  WindowRun* copy = new WindowRun[all.size()];
  std::copy(all.begin(), all.end(), copy);
  runs = copy;
}

PoolWindows::~PoolWindows() {
  delete[] rows;
  delete[] runs;
}

PoolWindows PoolWindows::forward(const Pool2dShape& shape) {
  return PoolWindows(forward_lattices(window_grid(shape)), shape.input, shape.output,
                     shape.kernel.w, {window_extents(shape), shape.stride, {1, 1}});
}

PoolWindows PoolWindows::backward(const Pool2dShape& shape) {
  return PoolWindows(gradient_lattices(window_grid(shape)), shape.output, shape.input,
                     shape.kernel.w, {window_extents(shape), {1, 1}, shape.stride});
}

}  // namespace cnnops
