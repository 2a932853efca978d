// The CPU's convolution: passes, the call of a kernel, and the list of algorithms. Free of
// PyTorch's headers.
#pragma once

#include <cstdint>

#include "../conv2d_shape.h"
#include "execution.h"
#include "scalar_types.h"

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

struct Conv2dAlgorithm {
  const char* name;
  bool (*supports)(const Conv2dProblem&);
  int64_t (*workspace)(const Conv2dProblem&, int64_t threads);  // bytes
  void (*run)(const Conv2dProblem&, const Conv2dTensors&, const Execution&);
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

struct Conv2dKernels {
  const Conv2dAlgorithm* algorithms;  // the preferred ones first
  int64_t algorithm_count;
  int64_t (*bias_grad_workspace)(const BiasGradProblem&);
  void (*bias_grad)(const BiasGradProblem&, const Execution&);
};

// The kernels of the instruction set in use.
const Conv2dKernels& conv2d_kernels();

}  // namespace cnnops
