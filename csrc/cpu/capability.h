// The instruction set the kernels run on: chosen once, when the operators are loaded.
#pragma once

#include <string>
#include <vector>

namespace cnnops {

enum class Capability { kPortable, kAvx2, kAvx512, kNeon };

// The best one this machine has, or the one that the environment variable CNNOPS_CPU_CAPABILITY
// names. Throws std::runtime_error if that is unknown or unsupported here; every later call throws
// it again.
Capability capability();

const char* capability_name(Capability capability);

// Those that can be forced on this machine, the best one last.
std::vector<Capability> supported_capabilities();

}  // namespace cnnops
