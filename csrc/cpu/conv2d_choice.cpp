#include "conv2d_choice.h"

#include "../conv2d_flags.h"

namespace cnnops {

std::vector<Conv2dAlgorithm> choose_conv2d(const Conv2dProblem& problem) {
  const Conv2dKernels& kernels = conv2d_kernels();
  std::vector<Conv2dAlgorithm> supported;
  for (int64_t i = 0; i < kernels.algorithm_count; ++i) {
    const Conv2dAlgorithm& algorithm = kernels.algorithms[i];
    if (algorithm.supports(problem)) supported.push_back(algorithm);
  }
  return allowed_algorithms(supported);
}

}  // namespace cnnops
