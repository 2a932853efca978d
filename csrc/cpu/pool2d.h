// The CPU's pooling kernels: their calls and their table. Free of PyTorch's headers.
#pragma once

#include <cstdint>

#include "../pool2d_shape.h"
#include "execution.h"
#include "scalar_types.h"

namespace cnnops {

// Every tensor that is read may have any strides; the one that is written is dense in the problem's
// memory format.
struct Pool2dProblem {
  Pool2dShape shape;
  DType dtype;
  bool channels_last;
};

struct MaxPool2dTensors {
  ConstTensor values;     // input, or grad_output in the backward kernel
  MutableTensor offsets;  // written by forward_with_offsets, read by backward and select
  MutableTensor result;
};

struct AvgPool2dTensors {
  ConstTensor values;
  MutableTensor result;
  bool count_include_pad;
  int64_t divisor_override;  // 0: divide by the size of the window
};

struct LPPool2dTensors {
  ConstTensor input;
  ConstTensor output, grad_output;  // backward only
  MutableTensor result;
  double norm_type;
};

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
