// Runs what a plan says: on the current stream, with a workspace from PyTorch's allocator, without
// any synchronisation. Safe under capture by a CUDA graph.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "plan/launch.h"

namespace cnnops::cuda {

// The GPU that the code was compiled for that runs on the current device; the device itself may be
// newer, and have more.
Device code_device();

// make_plan(workspace) plans the same launches for every workspace; null only asks for its size.
// The device of `like` is current.
void run(const std::function<Plan(char* workspace)>& make_plan, const at::Tensor& like);

}  // namespace cnnops::cuda
