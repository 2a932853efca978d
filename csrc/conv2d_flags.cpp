#include "conv2d_flags.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace cnnops {
namespace {

std::mutex mutex;
Conv2dFlags current;
std::atomic<bool> allow_all = true;

}  // namespace

Conv2dFlags conv2d_flags() {
  const std::lock_guard lock(mutex);
  return current;
}

Conv2dFlags set_conv2d_flags(const Conv2dFlags& flags) {
  const std::lock_guard lock(mutex);
  allow_all = flags.algorithm.empty() && flags.exclude.empty();
  return std::exchange(current, flags);
}

bool conv2d_flags_allow_all() { return allow_all; }

bool allows(const Conv2dFlags& flags, const std::string& algorithm) {
  if (!flags.algorithm.empty() && flags.algorithm != algorithm) return false;
  return std::find(flags.exclude.begin(), flags.exclude.end(), algorithm) == flags.exclude.end();
}

void throw_no_algorithm(const Conv2dFlags& flags) {
  throw std::runtime_error(
      "cnnops: no algorithm that cnnops.flags allows supports this convolution" +
      (flags.algorithm.empty() ? "" : " (forced: '" + flags.algorithm + "')"));
}

}  // namespace cnnops
