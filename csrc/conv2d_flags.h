// Which convolution algorithms may run, on all devices. Process-wide.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace cnnops {

// An empty name forces nothing.
struct Conv2dFlags {
  std::string algorithm;
  std::vector<std::string> exclude;
};

Conv2dFlags conv2d_flags();

// Returns the flags so far.
Conv2dFlags set_conv2d_flags(const Conv2dFlags& flags);

bool allows(const Conv2dFlags& flags, const std::string& algorithm);

// Those that the flags leave. Throws std::runtime_error if there is none.
template <class Algorithm>
std::vector<Algorithm> allowed_algorithms(const std::vector<Algorithm>& supported) {
  const Conv2dFlags flags = conv2d_flags();
  std::vector<Algorithm> allowed;
  for (const Algorithm& algorithm : supported) {
    if (allows(flags, algorithm.name)) allowed.push_back(algorithm);
  }
  if (allowed.empty()) {
    throw std::runtime_error(
        "cnnops: no algorithm that cnnops.flags allows supports this convolution" +
        (flags.algorithm.empty() ? "" : " (forced: '" + flags.algorithm + "')"));
  }
  return allowed;
}

}  // namespace cnnops
