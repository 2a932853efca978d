// The convolution kernels of one instruction set as a table.
#pragma once

#include "conv2d_bias_grad.h"
#include "conv2d_cost.h"
#include "conv2d_depthwise.h"
#include "conv2d_direct.h"
#include "conv2d_implicit_gemm.h"
#include "conv2d_winograd.h"
#include "dtype_switch.h"

namespace cnnops::CNNOPS_TARGET {

// An algorithm's functions for the dtype of a problem.
template <template <class> class Algorithm>
struct ForDType {
  static int64_t workspace(const Conv2dProblem& problem, int64_t threads) {
    return with_storage(problem.dtype,
                        [&]<class T>() { return Algorithm<T>::workspace(problem, threads); });
  }
  static void run(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                  const Execution& execution) {
    with_storage(problem.dtype, [&]<class T>() { Algorithm<T>::run(problem, tensors, execution); });
  }
};

static bool supports_depthwise(const Conv2dProblem& problem) {
  const Conv2dShape& shape = problem.shape;
  return shape.groups > 1 && shape.in_channels == shape.groups &&
         shape.out_channels == shape.groups;
}
static bool supports_direct(const Conv2dProblem& problem) {
  return with_storage(problem.dtype, [&]<class T>() { return Direct<T>::supports(problem); });
}
static bool supports_all(const Conv2dProblem&) { return true; }

template <class Family>
constexpr Conv2dAlgorithm winograd(const char* name) {
  using Passes = Winograd<Family>;
  return {name, Passes::supports, Passes::cost, Passes::workspace, Passes::run};
}

static constexpr Conv2dAlgorithm kAlgorithms[] = {
    {"depthwise", supports_depthwise, depthwise_cost, ForDType<Depthwise>::workspace,
     ForDType<Depthwise>::run},
    {"direct", supports_direct, direct_cost, ForDType<Direct>::workspace, ForDType<Direct>::run},
    {"implicit_gemm", supports_all, implicit_gemm_cost, ForDType<ImplicitGemm>::workspace,
     ForDType<ImplicitGemm>::run},
    winograd<Winograd4x4Of3x3>("winograd_4x4_3x3"),
    winograd<Winograd2x2Of3x3>("winograd_2x2_3x3"),
    winograd<Winograd2x2Of5x5>("winograd_2x2_5x5"),
    winograd<Winograd4x4Of5x5>("winograd_4x4_5x5"),
    winograd<Winograd4x4Of3x3Stride2>("winograd_4x4_3x3s2"),
};

static int64_t bias_grad_workspace(const BiasGradProblem& problem) {
  return with_storage(problem.dtype, [&]<class T>() { return BiasGrad<T>::workspace(problem); });
}
static void bias_grad(const BiasGradProblem& problem, const Execution& execution) {
  with_storage(problem.dtype, [&]<class T>() { BiasGrad<T>::run(problem, execution); });
}

extern const Conv2dKernels kConv2dKernels;
const Conv2dKernels kConv2dKernels{kAlgorithms, sizeof(kAlgorithms) / sizeof(kAlgorithms[0]),
                                   bias_grad_workspace, bias_grad};

}  // namespace cnnops::CNNOPS_TARGET
