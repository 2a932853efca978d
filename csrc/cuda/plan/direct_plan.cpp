#include "direct_plan.h"

#include <algorithm>

#include "../../arena.h"
#include "../tile.h"
#include "correlation_sides.h"
#include "element_type.h"
#include "sum_plan.h"

namespace cnnops::cuda {

Launch direct_launch(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                     const LatticeTable& lattices) {
  const CorrelationSides sides = correlation_sides(problem, tensors);
  const Conv2dShape& shape = problem.shape;
  const int64_t channels = shape.groups * sides.produce;
  const int64_t blocks =
      ceil_div<int64_t>(shape.batch * channels * most_outputs(lattices), kThreads);
  const DirectParameters parameters{.source = sides.source,
                                    .weight = tensors.weight.data,
                                    .bias = tensors.bias,
                                    .result = sides.result,
                                    .source_stride = sides.source_stride,
                                    .result_stride = sides.result_stride,
                                    .batch = shape.batch,
                                    .produce = sides.produce,
                                    .reduce = sides.reduce,
                                    .group_stride = sides.group_stride,
                                    .produce_stride = sides.produce_stride,
                                    .reduce_stride = sides.reduce_stride,
                                    .row_stride = sides.row_stride,
                                    .column_stride = sides.column_stride,
                                    .lattice_blocks = blocks,
                                    .channels_last = problem.channels_last,
                                    .channels = divider(channels),
                                    .group_channels = divider(sides.produce),
                                    .lattices = lattices};
  return make_launch("correlation_direct<" + storage_name(problem.dtype) + ">",
                     lattice_count(lattices) * blocks, kThreads, parameters);
}

void plan_bias_where_uncovered(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                               const Lattices& lattices, Plan& plan) {
  const CorrelationSides sides = correlation_sides(problem, tensors);
  if (sides.reduce > 0 && covers(lattices, sides.map)) return;
  plan.launches.push_back(direct_launch(problem, tensors, empty_windows(sides.map)));
}

Plan plan_correlation_direct(const Conv2dProblem& problem, const Conv2dTensors& tensors, char*) {
  Plan plan;
  const Lattices lattices = lattices_of(problem);
  plan_bias_where_uncovered(problem, tensors, lattices, plan);
  if (correlation_sides(problem, tensors).reduce == 0) return plan;
  for (const LatticeTable& table : lattice_tables(lattices))
    plan.launches.push_back(direct_launch(problem, tensors, table));
  return plan;
}

}  // namespace cnnops::cuda
