// The parts of the program.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace native {

// How often each kernel was checked.
using Counts = std::map<std::string, int64_t>;

Counts check_conv2d();
Counts check_pool2d();

}  // namespace native
