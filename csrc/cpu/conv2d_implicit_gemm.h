// Algorithm "implicit_gemm": every convolution of every dtype, by the implicit matrix products.
#pragma once

#include "implicit_gemm_weight_grad.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class ImplicitGemm {
 public:
  static int64_t workspace(const Conv2dProblem& problem, int64_t threads) {
    if (problem.pass == Conv2dPass::kWeightGrad) {
      return with_weight_grad(problem, {},
                              [&](const auto& gradient) { return gradient.workspace(threads); });
    }
    int64_t bytes = 0;
    const CorrelationOperands<T> operands = correlation_operands<T>(problem, {});
    const Lattices lattices = correlation_lattices(problem);
    for (const CorrelationAxis& h : lattices.rows) {
      for (const CorrelationAxis& w : lattices.columns) {
        bytes =
            larger(bytes, correlation_workspace(operands, {h, w}, problem.channels_last, threads));
      }
    }
    return bytes;
  }

  static void run(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                  const Execution& execution) {
    if (problem.pass == Conv2dPass::kWeightGrad) {
      with_weight_grad(problem, tensors, [&](const auto& gradient) { gradient.run(execution); });
      return;
    }
    const CorrelationOperands<T> operands = correlation_operands<T>(problem, tensors);
    const Lattices lattices = correlation_lattices(problem);
    const Pair map = result_map(problem);
    if (operands.reduce == 0 || !covers(lattices.rows, map.h) || !covers(lattices.columns, map.w))
      fill_with_bias(operands, map, execution);
    if (operands.reduce == 0) return;
    for (const CorrelationAxis& h : lattices.rows) {
      for (const CorrelationAxis& w : lattices.columns) {
        correlate(operands, {h, w}, problem.channels_last, execution);
      }
    }
  }

 private:
  static WeightGradOperands<T> weight_grad_operands(const Conv2dProblem& problem,
                                                    const Conv2dTensors& tensors) {
    const Lattices lattices = forward_lattices(window_grid(problem.shape));
    return {problem.shape,
            {lattices.rows[0], lattices.columns[0]},
            static_cast<const T*>(tensors.input.data),
            tensors.input.stride,
            static_cast<const T*>(tensors.output.data),
            tensors.output.stride,
            static_cast<T*>(tensors.weight.data)};
  }

  template <class Body>
  static auto with_weight_grad(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                               Body body) {
    const WeightGradOperands<T> operands = weight_grad_operands(problem, tensors);
    if (problem.channels_last) return body(WeightGrad<T, OuterProducts<T>>(operands));
    return body(WeightGrad<T, DotProducts<T>>(operands));
  }
};

}  // namespace cnnops::CNNOPS_TARGET
