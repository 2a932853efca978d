// The CPU's pooling kernels: their calls and their table. Free of PyTorch's headers.
#pragma once

#include <cstdint>

#include "../pool2d_problem.h"
#include "execution.h"

namespace cnnops {

template <class Tensors>
using Pool2dKernel = void (*)(const Pool2dProblem&, const Tensors&, const Execution&);

struct Pool2dKernels {
  int64_t (*workspace)(const Pool2dProblem&,
                       int64_t threads);  // bytes, enough for any of the kernels
  Pool2dKernel<MaxPool2dTensors> max_forward, max_forward_with_offsets, max_backward, max_select;
  Pool2dKernel<AvgPool2dTensors> avg_forward, avg_backward;
  Pool2dKernel<LPPool2dTensors> lp_forward, lp_backward;
};

// The kernels of the instruction set in use.
const Pool2dKernels& pool2d_kernels();

}  // namespace cnnops
