// Which convolution algorithms may run, on all devices. Process-wide.
#pragma once

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

// Whether no flag is set, without a lock.
bool conv2d_flags_allow_all();

bool allows(const Conv2dFlags& flags, const std::string& algorithm);

// Throws std::runtime_error.
[[noreturn]] void throw_no_algorithm(const Conv2dFlags& flags);

// Those that the flags leave. Throws std::runtime_error if there is none.
template <class Algorithm>
std::vector<Algorithm> allowed_algorithms(const std::vector<Algorithm>& supported) {
  const Conv2dFlags flags = conv2d_flags();
  std::vector<Algorithm> allowed;
  for (const Algorithm& algorithm : supported) {
    if (allows(flags, algorithm.name)) allowed.push_back(algorithm);
  }
  if (allowed.empty()) throw_no_algorithm(flags);
  return allowed;
}

}  // namespace cnnops
