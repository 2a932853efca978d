// Algorithm "implicit_gemm": every convolution of every dtype, by the implicit matrix products.
#pragma once

#include "implicit_gemm_correlation.h"
#include "implicit_gemm_tap_products.h"
#include "implicit_gemm_weight_grad.h"
#include "whole_map.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class ImplicitGemm {
 public:
  static int64_t workspace(const Conv2dProblem& problem, int64_t threads) {
    const int64_t bytes = workspace_of(problem, threads);
    if (!covers_whole_map(problem.shape)) return bytes;
    return larger(bytes, workspace_of(flat(problem), threads));
  }

  static void run(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                  const Execution& execution) {
    if (covers_whole_map(problem.shape) && is_flat(problem, tensors)) {
      run_as_is(flat(problem), flat(tensors), execution);
    } else {
      run_as_is(problem, tensors, execution);
    }
  }

 private:
  static int64_t workspace_of(const Conv2dProblem& problem, int64_t threads) {
    if (problem.pass == Conv2dPass::kWeightGrad) {
      return with_weight_grad(problem, {},
                              [&](const auto& gradient) { return gradient.workspace(threads); });
    }
    int64_t bytes = 0;
    const CorrelationOperands<T> operands = correlation_operands<T>(problem, {});
    if (has_tap_products(problem))
      return TapProducts<T>(problem, operands, threads).workspace(threads);
    const Lattices lattices = correlation_lattices(problem);
    for (const CorrelationAxis& h : lattices.rows) {
      for (const CorrelationAxis& w : lattices.columns) {
        bytes =
            larger(bytes, correlation_workspace(operands, {h, w}, problem.channels_last, threads));
      }
    }
    return bytes;
  }

  static void run_as_is(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                        const Execution& execution) {
    if (problem.pass == Conv2dPass::kWeightGrad) {
      with_weight_grad(problem, tensors, [&](const auto& gradient) { gradient.run(execution); });
      return;
    }
    const CorrelationOperands<T> operands = correlation_operands<T>(problem, tensors);
    if (has_tap_products(problem))
      return TapProducts<T>(problem, operands, execution.threads).run(execution);
    const Lattices lattices = correlation_lattices(problem);
    const Pair map = result_map(problem);
    if (operands.reduce == 0 || !covers(lattices, map)) fill_with_bias(operands, map, execution);
    if (operands.reduce == 0) return;
    for (const CorrelationAxis& h : lattices.rows) {
      for (const CorrelationAxis& w : lattices.columns) {
        correlate(operands, {h, w}, problem.channels_last, execution);
      }
    }
  }

  template <class Body>
  static auto with_weight_grad(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                               Body body) {
    const WeightGradOperands<T> operands = weight_grad_operands<T>(problem, tensors);
    if (problem.channels_last) return body(WeightGrad<T, PixelFactors<T>>(operands));
    return body(WeightGrad<T, MapFactors<T>>(operands));
  }
};

}  // namespace cnnops::CNNOPS_TARGET
