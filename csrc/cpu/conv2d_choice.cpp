#include "conv2d_choice.h"

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace cnnops {
namespace {

std::mutex mutex;
Conv2dFlags current;

std::vector<Conv2dAlgorithm> all_algorithms() {
  const Conv2dKernels& kernels = conv2d_kernels();
  return {kernels.algorithms, kernels.algorithms + kernels.algorithm_count};
}

void check_known(const std::string& name) {
  std::string known;
  for (const Conv2dAlgorithm& algorithm : all_algorithms()) {
    if (name == algorithm.name) return;
    known += (known.empty() ? "" : ", ") + std::string(algorithm.name);
  }
  throw std::runtime_error("cnnops: the algorithm must be one of " + known + ", got '" + name +
                           "'");
}

bool allowed(const Conv2dFlags& flags, const Conv2dAlgorithm& algorithm) {
  if (!flags.algorithm.empty() && flags.algorithm != algorithm.name) return false;
  return std::find(flags.exclude.begin(), flags.exclude.end(), algorithm.name) ==
         flags.exclude.end();
}

}  // namespace

Conv2dFlags set_conv2d_flags(const Conv2dFlags& flags) {
  if (!flags.algorithm.empty()) check_known(flags.algorithm);
  for (const std::string& name : flags.exclude) check_known(name);
  const std::lock_guard lock(mutex);
  return std::exchange(current, flags);
}

std::vector<Conv2dAlgorithm> choose_conv2d(const Conv2dProblem& problem) {
  const std::lock_guard lock(mutex);
  std::vector<Conv2dAlgorithm> chosen;
  for (const Conv2dAlgorithm& algorithm : all_algorithms()) {
    if (algorithm.supports(problem) && allowed(current, algorithm)) chosen.push_back(algorithm);
  }
  if (chosen.empty()) {
    throw std::runtime_error(
        "cnnops: no algorithm that cnnops.flags allows supports this convolution" +
        (current.algorithm.empty() ? "" : " (forced: '" + current.algorithm + "')"));
  }
  return chosen;
}

}  // namespace cnnops
