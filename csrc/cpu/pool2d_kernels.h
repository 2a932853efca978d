// The pooling kernels of one instruction set as a table.
#pragma once

#include "pool2d_lp.h"
#include "pool2d_max.h"

namespace cnnops::CNNOPS_TARGET {

static int64_t pool2d_workspace(const Pool2dProblem& problem, int64_t threads) {
  const bool is_double = problem.dtype == DType::kFloat64;
  return larger(tile_workspace(threads), is_double ? prepared_workspace<double>(problem, threads)
                                                   : prepared_workspace<float>(problem, threads));
}

// The kernel of all dtypes: half types are computed in float.
template <class Tensors, Pool2dKernel<Tensors> kInFloat, Pool2dKernel<Tensors> kInDouble>
void pool2d_kernel(const Pool2dProblem& problem, const Tensors& tensors,
                   const Execution& execution) {
  (problem.dtype == DType::kFloat64 ? kInDouble : kInFloat)(problem, tensors, execution);
}

extern const Pool2dKernels kPool2dKernels;
const Pool2dKernels kPool2dKernels{
    .workspace = pool2d_workspace,
    .max_forward =
        pool2d_kernel<MaxPool2dTensors, MaxPool2d<float>::forward, MaxPool2d<double>::forward>,
    .max_forward_with_offsets =
        pool2d_kernel<MaxPool2dTensors, MaxPool2d<float>::forward_with_offsets,
                      MaxPool2d<double>::forward_with_offsets>,
    .max_backward =
        pool2d_kernel<MaxPool2dTensors, MaxPool2d<float>::backward, MaxPool2d<double>::backward>,
    .max_select =
        pool2d_kernel<MaxPool2dTensors, MaxPool2d<float>::select, MaxPool2d<double>::select>,
    .avg_forward =
        pool2d_kernel<AvgPool2dTensors, AvgPool2d<float>::forward, AvgPool2d<double>::forward>,
    .avg_backward =
        pool2d_kernel<AvgPool2dTensors, AvgPool2d<float>::backward, AvgPool2d<double>::backward>,
    .lp_forward =
        pool2d_kernel<LPPool2dTensors, LPPool2d<float>::forward, LPPool2d<double>::forward>,
    .lp_backward =
        pool2d_kernel<LPPool2dTensors, LPPool2d<float>::backward, LPPool2d<double>::backward>};

}  // namespace cnnops::CNNOPS_TARGET
