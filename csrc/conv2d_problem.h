// One pass of a convolution over tensors in memory, free of PyTorch's headers.
#pragma once

#include "conv2d_shape.h"
#include "scalar_types.h"
#include "tensor_view.h"

namespace cnnops {

enum class Conv2dPass { kForward, kInputGrad, kWeightGrad };

// What the choice of an algorithm may depend on. It must not depend on shape.batch.
struct Conv2dProblem {
  Conv2dShape shape;
  Conv2dPass pass;
  DType dtype;
  bool channels_last;  // of the activation a pass writes, or of grad_output for the weight gradient
};

// The tensors of a pass. Forward reads input, weight and bias and writes output; the input gradient
// reads output (it holds grad_output), weight and bias and writes input; the weight gradient reads
// input and output, writes weight. What a pass reads may have any strides. An activation that is
// written is dense in the problem's memory format, a weight gradient contiguous. Bias may be null;
// it has the dtype of the others and unit stride.
struct Conv2dTensors {
  MutableTensor input, weight, output;
  const void* bias;
};

// Sums over N, H and W: grad_bias(c) = sum grad_output(n, c, h, w), in an order that the shape
// and the strides decide.
struct BiasGradProblem {
  int64_t batch, channels;
  Pair map;
  DType dtype;
  ConstTensor grad_output;
  void* grad_bias;
};

}  // namespace cnnops
