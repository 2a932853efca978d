// The pooling kernels of one instruction set as a table.
#pragma once

#include "pool2d_lp.h"
#include "pool2d_max.h"

namespace cnnops::CNNOPS_TARGET {

static int64_t pool2d_workspace(const Pool2dProblem&, int64_t threads) {
  return pool_workspace(threads);
}

static void max_forward(const Pool2dProblem& problem, const MaxPool2dTensors& tensors,
                        const Execution& execution) {
  with_accumulate(problem.dtype,
                  [&]<class A>() { MaxPool2d<A>::forward(problem, tensors, execution); });
}
static void max_forward_with_offsets(const Pool2dProblem& problem, const MaxPool2dTensors& tensors,
                                     const Execution& execution) {
  with_accumulate(problem.dtype, [&]<class A>() {
    MaxPool2d<A>::forward_with_offsets(problem, tensors, execution);
  });
}
static void max_backward(const Pool2dProblem& problem, const MaxPool2dTensors& tensors,
                         const Execution& execution) {
  with_accumulate(problem.dtype,
                  [&]<class A>() { MaxPool2d<A>::backward(problem, tensors, execution); });
}
static void max_select(const Pool2dProblem& problem, const MaxPool2dTensors& tensors,
                       const Execution& execution) {
  with_accumulate(problem.dtype,
                  [&]<class A>() { MaxPool2d<A>::select(problem, tensors, execution); });
}
static void avg_forward(const Pool2dProblem& problem, const AvgPool2dTensors& tensors,
                        const Execution& execution) {
  with_accumulate(problem.dtype,
                  [&]<class A>() { AvgPool2d<A>::forward(problem, tensors, execution); });
}
static void avg_backward(const Pool2dProblem& problem, const AvgPool2dTensors& tensors,
                         const Execution& execution) {
  with_accumulate(problem.dtype,
                  [&]<class A>() { AvgPool2d<A>::backward(problem, tensors, execution); });
}
static void lp_forward(const Pool2dProblem& problem, const LPPool2dTensors& tensors,
                       const Execution& execution) {
  with_accumulate(problem.dtype,
                  [&]<class A>() { LPPool2d<A>::forward(problem, tensors, execution); });
}
static void lp_backward(const Pool2dProblem& problem, const LPPool2dTensors& tensors,
                        const Execution& execution) {
  with_accumulate(problem.dtype,
                  [&]<class A>() { LPPool2d<A>::backward(problem, tensors, execution); });
}

extern const Pool2dKernels kPool2dKernels;
const Pool2dKernels kPool2dKernels{pool2d_workspace, max_forward, max_forward_with_offsets,
                                   max_backward,     max_select,  avg_forward,
                                   avg_backward,     lp_forward,  lp_backward};

}  // namespace cnnops::CNNOPS_TARGET
