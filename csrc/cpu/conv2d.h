// The CPU's convolution: the call of a kernel and the list of algorithms. Free of PyTorch's headers.
#pragma once

#include <cstdint>

#include "../conv2d_problem.h"
#include "execution.h"

namespace cnnops {

struct Conv2dAlgorithm {
  const char* name;
  bool (*supports)(const Conv2dProblem&);
  // Estimated time of one image, in multiply-adds of a matrix product at its best. Sees neither the
  // batch nor the threads.
  double (*cost)(const Conv2dProblem&);
  int64_t (*workspace)(const Conv2dProblem&, int64_t threads);  // bytes
  void (*run)(const Conv2dProblem&, const Conv2dTensors&, const Execution&);
};

struct Conv2dKernels {
  const Conv2dAlgorithm* algorithms;
  int64_t algorithm_count;
  int64_t (*bias_grad_workspace)(const BiasGradProblem&);
  void (*bias_grad)(const BiasGradProblem&, const Execution&);
};

// The kernels of the instruction set in use.
const Conv2dKernels& conv2d_kernels();

}  // namespace cnnops
