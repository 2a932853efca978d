// Convolution by implicit matrix products (correlation_gemm.cuh, weight_grad_gemm.cuh).
#pragma once

#include "conv2d_plan.h"

namespace cnnops::cuda {

// Kernels count rows and columns of maps and steps of the reduction in 32 bits.
bool implicit_gemm_supports(const Conv2dProblem& problem);

Plan plan_correlation_gemm(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                           const Conv2dSettings& settings, char* workspace);
Plan plan_weight_grad_gemm(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                           const Conv2dSettings& settings, char* workspace);

}  // namespace cnnops::cuda
