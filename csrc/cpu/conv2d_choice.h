// Which algorithm a convolution runs on the CPU: the cheapest of those that support it and that the
// flags allow.
#pragma once

#include <vector>

#include "conv2d.h"

namespace cnnops {

// Those that may run, the cheapest, which does, first. Throws std::runtime_error if the flags leave none.
std::vector<Conv2dAlgorithm> choose_conv2d(const Conv2dProblem& problem);

// The first of them.
const Conv2dAlgorithm& chosen_conv2d(const Conv2dProblem& problem);

}  // namespace cnnops
