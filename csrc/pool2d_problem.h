// One pass of a pooling over tensors in memory, free of PyTorch's headers.
#pragma once

#include "pool2d_shape.h"
#include "scalar_types.h"
#include "tensor_view.h"

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

}  // namespace cnnops
