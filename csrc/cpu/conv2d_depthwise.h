// Algorithm "depthwise": one filter a channel, without any gathering of patches.
#pragma once

#include "conv2d_depthwise_maps.h"
#include "conv2d_depthwise_pixels.h"
#include "conv2d_depthwise_weight_grad.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class Depthwise {
 public:
  using A = Accumulate<T>;

  static int64_t workspace(const Conv2dProblem& problem, int64_t threads) {
    if (problem.pass == Conv2dPass::kWeightGrad)
      return DepthwiseWeightGrad<T>::workspace(problem, threads);
    int64_t bytes = 0;
    if (problem.channels_last) {
      Arena arena;
      ChannelFactors<T>(problem.shape, arena);
      return arena.size();
    }
    visit_map_correlations(
        problem, correlation_operands<T>(problem, {}),
        [&](const auto& correlation) { bytes = larger(bytes, correlation.workspace(threads)); });
    return bytes;
  }

  static void run(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                  const Execution& execution) {
    if (problem.pass == Conv2dPass::kWeightGrad)
      return DepthwiseWeightGrad<T>::run(problem, tensors, execution);
    const CorrelationOperands<T> operands = correlation_operands<T>(problem, tensors);
    const Lattices lattices = correlation_lattices(problem);
    const Pair map = result_map(problem);
    if (!covers(lattices.rows, map.h) || !covers(lattices.columns, map.w))
      fill_with_bias(operands, map, execution);
    if (problem.channels_last) {
      Arena arena(execution.workspace);
      const ChannelFactors<T> factors(problem.shape, arena);
      factors.fill(problem.shape, operands.filter, operands.bias);
      PixelCorrelation<T>(problem, operands, factors).run(execution);
    } else {
      visit_map_correlations(problem, operands,
                             [&](const auto& correlation) { correlation.run(execution); });
    }
  }
};

}  // namespace cnnops::CNNOPS_TARGET
