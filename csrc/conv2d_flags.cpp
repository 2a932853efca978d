#include "conv2d_flags.h"

#include <algorithm>
#include <mutex>
#include <utility>

namespace cnnops {
namespace {

std::mutex mutex;
Conv2dFlags current;

}  // namespace

Conv2dFlags conv2d_flags() {
  const std::lock_guard lock(mutex);
  return current;
}

Conv2dFlags set_conv2d_flags(const Conv2dFlags& flags) {
  const std::lock_guard lock(mutex);
  return std::exchange(current, flags);
}

bool allows(const Conv2dFlags& flags, const std::string& algorithm) {
  if (!flags.algorithm.empty() && flags.algorithm != algorithm) return false;
  return std::find(flags.exclude.begin(), flags.exclude.end(), algorithm) == flags.exclude.end();
}

}  // namespace cnnops
