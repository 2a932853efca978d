// Which algorithm a convolution runs: the first in preference order that supports it and that the
// flags allow.
#pragma once

#include <string>
#include <vector>

#include "conv2d.h"

namespace cnnops {

// Process-wide. An empty name forces nothing.
struct Conv2dFlags {
  std::string algorithm;
  std::vector<std::string> exclude;
};

// Returns the flags so far. Throws std::runtime_error for a name that no algorithm has.
Conv2dFlags set_conv2d_flags(const Conv2dFlags& flags);

// Those that support the problem, the one that runs first. Throws std::runtime_error if the flags
// leave none.
std::vector<Conv2dAlgorithm> choose_conv2d(const Conv2dProblem& problem);

}  // namespace cnnops
