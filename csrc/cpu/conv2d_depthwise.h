// Algorithm "depthwise": one filter a channel, without any gathering of patches.
#pragma once

#include "conv2d_depthwise_direct_maps.h"
#include "conv2d_depthwise_maps.h"
#include "conv2d_depthwise_pixels.h"
#include "conv2d_depthwise_small_maps.h"
#include "conv2d_depthwise_weight_grad.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class Depthwise {
 public:
  static int64_t workspace(const Conv2dProblem& problem, int64_t threads) {
    int64_t bytes = 0;
    visit_parts(problem, {},
                [&](const auto& part) { bytes = larger(bytes, part.workspace(threads)); });
    return bytes;
  }

  static void run(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                  const Execution& execution) {
    if (problem.pass != Conv2dPass::kWeightGrad) fill_uncovered(problem, tensors, execution);
    visit_parts(problem, tensors, [&](const auto& part) { part.run(execution); });
  }

 private:
  // Results that no filter element reaches.
  static void fill_uncovered(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                             const Execution& execution) {
    const Pair map = result_map(problem);
    if (!covers(correlation_lattices(problem), map))
      fill_with_bias(correlation_operands<T>(problem, tensors), map, execution);
  }

  // Calls visit(part) for each of the calls that together compute a problem.
  template <class Visit>
  static void visit_parts(const Conv2dProblem& problem, const Conv2dTensors& tensors, Visit visit) {
    if (problem.pass == Conv2dPass::kWeightGrad)
      return visit_depthwise_weight_grad<T>(problem, tensors, visit);
    const CorrelationOperands<T> operands = correlation_operands<T>(problem, tensors);
    if (problem.channels_last) return visit(PixelCorrelation<T>(problem, operands));
    if (ShiftedMap<T>::supports(problem))
      return visit(DirectMapCorrelation<T, ShiftedMap<T>>(problem, operands));
    if (HalvedMapGradient<T>::supports(problem))
      return visit(DirectMapCorrelation<T, HalvedMapGradient<T>>(problem, operands));
    if (SmallMapCorrelation<T>::supports(problem))
      return visit(SmallMapCorrelation<T>(problem, operands));
    if (HalvedMap<T>::supports(problem))
      return visit(DirectMapCorrelation<T, HalvedMap<T>>(problem, operands));
    visit_map_correlations(problem, operands, visit);
  }
};

}  // namespace cnnops::CNNOPS_TARGET
