// Faults planted into a kernel, to show that the program sees them.
#pragma once

#include <string>
#include <vector>

#include "../../csrc/cpu/conv2d.h"

namespace native {

// Those that this build sees: a race only ThreadSanitizer, undefined behaviour only UBSan.
std::vector<std::string> visible_faults();

// Every algorithm from then on has it. Returns false if there is none of this name.
bool plant_fault(const std::string& name);

// The table of the instruction set in use, or its first algorithm that takes everything with the
// planted fault.
std::vector<cnnops::Conv2dAlgorithm> algorithms_to_check();

}  // namespace native
