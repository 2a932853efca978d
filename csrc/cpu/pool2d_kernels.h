// The pooling kernels of one instruction set as a table.
#pragma once

#include "dtype_switch.h"
#include "pool2d_avg.h"
#include "pool2d_lp.h"
#include "pool2d_max.h"

namespace cnnops::CNNOPS_TARGET {

// body.operator()<T, O>() with the storage types of samples and of offsets.
template <class Body>
void with_offsets(const Pool2dProblem& problem, Body body) {
  with_storage(problem.dtype, [&]<class T>() {
    if (problem.shape.kernel.h * problem.shape.kernel.w <= kSmallWindow) {
      body.template operator()<T, uint8_t>();
    } else {
      body.template operator()<T, int32_t>();
    }
  });
}

static int64_t pool2d_workspace(const Pool2dProblem& problem, int64_t threads) {
  Arena arena;
  arena.take<double>(problem.shape.output.h * problem.shape.output.w);
  if (problem.channels_last) return arena.size();
  // Three operands at most, of at most eight bytes a sample.
  const WindowGrid grid = window_grid(problem.shape);
  const int64_t forward = window_workspace<double>(reachable(forward_lattices(grid)), 3, threads);
  const int64_t backward = window_workspace<double>(gradient_lattices(grid), 3, threads);
  return arena.size() + larger(forward, backward);
}

static void max_forward(const Pool2dProblem& problem, const MaxPool2dTensors& tensors,
                        const Execution& execution) {
  with_storage(problem.dtype,
               [&]<class T>() { MaxPool2d<T>::forward(problem, tensors, execution); });
}
static void max_forward_with_offsets(const Pool2dProblem& problem, const MaxPool2dTensors& tensors,
                                     const Execution& execution) {
  with_offsets(problem, [&]<class T, class O>() {
    MaxPool2d<T>::template forward_with_offsets<O>(problem, tensors, execution);
  });
}
static void max_backward(const Pool2dProblem& problem, const MaxPool2dTensors& tensors,
                         const Execution& execution) {
  with_offsets(problem, [&]<class T, class O>() {
    MaxPool2d<T>::template backward<O>(problem, tensors, execution);
  });
}
static void max_select(const Pool2dProblem& problem, const MaxPool2dTensors& tensors,
                       const Execution& execution) {
  with_offsets(problem, [&]<class T, class O>() {
    MaxPool2d<T>::template select<O>(problem, tensors, execution);
  });
}
static void avg_forward(const Pool2dProblem& problem, const AvgPool2dTensors& tensors,
                        const Execution& execution) {
  with_storage(problem.dtype,
               [&]<class T>() { AvgPool2d<T>::forward(problem, tensors, execution); });
}
static void avg_backward(const Pool2dProblem& problem, const AvgPool2dTensors& tensors,
                         const Execution& execution) {
  with_storage(problem.dtype,
               [&]<class T>() { AvgPool2d<T>::backward(problem, tensors, execution); });
}
static void lp_forward(const Pool2dProblem& problem, const LPPool2dTensors& tensors,
                       const Execution& execution) {
  with_storage(problem.dtype,
               [&]<class T>() { LPPool2d<T>::forward(problem, tensors, execution); });
}
static void lp_backward(const Pool2dProblem& problem, const LPPool2dTensors& tensors,
                        const Execution& execution) {
  with_storage(problem.dtype,
               [&]<class T>() { LPPool2d<T>::backward(problem, tensors, execution); });
}

extern const Pool2dKernels kPool2dKernels;
const Pool2dKernels kPool2dKernels{pool2d_workspace, max_forward, max_forward_with_offsets,
                                   max_backward,     max_select,  avg_forward,
                                   avg_backward,     lp_forward,  lp_backward};

}  // namespace cnnops::CNNOPS_TARGET
