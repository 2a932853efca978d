#include "conv2d_choice.h"

#include <algorithm>

#include "../conv2d_flags.h"

namespace cnnops {

std::vector<Conv2dAlgorithm> choose_conv2d(const Conv2dProblem& problem) {
  const Conv2dKernels& kernels = conv2d_kernels();
  std::vector<Conv2dAlgorithm> supported;
  for (int64_t i = 0; i < kernels.algorithm_count; ++i) {
    const Conv2dAlgorithm& algorithm = kernels.algorithms[i];
    if (algorithm.supports(problem)) supported.push_back(algorithm);
  }
  std::stable_sort(supported.begin(), supported.end(),
                   [&](const Conv2dAlgorithm& a, const Conv2dAlgorithm& b) {
                     return a.cost(problem) < b.cost(problem);
                   });
  return allowed_algorithms(supported);
}

const Conv2dAlgorithm& chosen_conv2d(const Conv2dProblem& problem) {
  const Conv2dKernels& kernels = conv2d_kernels();
  const bool all_allowed = conv2d_flags_allow_all();
  const Conv2dFlags flags = all_allowed ? Conv2dFlags{} : conv2d_flags();
  const Conv2dAlgorithm* chosen = nullptr;
  double least = 0;
  for (int64_t i = 0; i < kernels.algorithm_count; ++i) {
    const Conv2dAlgorithm& algorithm = kernels.algorithms[i];
    if (!algorithm.supports(problem)) continue;
    if (!all_allowed && !allows(flags, algorithm.name)) continue;
    const double cost = algorithm.cost(problem);
    if (chosen == nullptr || cost < least) chosen = &algorithm, least = cost;
  }
  if (chosen == nullptr) throw_no_algorithm(flags);
  return *chosen;
}

}  // namespace cnnops
