// Which kernels a convolution runs on a GPU, and how.
#pragma once

#include <vector>

#include "../../conv2d_problem.h"
#include "launch.h"

namespace cnnops::cuda {

struct Conv2dSettings {
  Device device;
  bool allow_tf32;  // float32 operands may be rounded to TF32
};

struct Conv2dAlgorithm {
  const char* name;
  bool (*supports)(const Conv2dProblem&);
  // Tensors with at least one element in the result.
  Plan (*plan)(const Conv2dProblem&, const Conv2dTensors&, const Conv2dSettings&, char* workspace);
};

// Those that support a problem, the preferred ones first. The choice does not depend on
// shape.batch.
std::vector<Conv2dAlgorithm> conv2d_algorithms(const Conv2dProblem& problem);

std::vector<const char*> conv2d_algorithm_names();

Plan plan_bias_grad(const BiasGradProblem& problem, char* workspace);

}  // namespace cnnops::cuda
