// Plans as Python sees them, for tests and reports.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <string>
#include <tuple>
#include <vector>

#include "launch.h"

namespace cnnops::cuda {

// (kernel names, (blocks, threads, shared bytes) of each launch one after the other, parameters of
// each launch as bytes, bytes of workspace)
using LaunchList =
    std::tuple<std::vector<std::string>, std::vector<int64_t>, std::vector<at::Tensor>, int64_t>;
inline constexpr const char* kLaunchListSchema =
    "(str[] kernels, int[] sizes, Tensor[] parameters, int workspace_bytes)";

inline LaunchList launch_list(const Plan& plan) {
  LaunchList list;
  auto& [kernels, sizes, parameters, workspace_bytes] = list;
  for (const Launch& launch : plan.launches) {
    kernels.push_back(launch.kernel);
    sizes.insert(sizes.end(), {launch.blocks, launch.threads, launch.shared_bytes});
    const auto count = static_cast<int64_t>(launch.parameters.size());
    parameters.push_back(at::empty({count}, at::TensorOptions().dtype(at::kByte)));
    std::memcpy(parameters.back().mutable_data_ptr(), launch.parameters.data(),
                launch.parameters.size());
  }
  workspace_bytes = plan.workspace_bytes;
  return list;
}

}  // namespace cnnops::cuda
