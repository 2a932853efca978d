// What the host decides about kernel launches: free of PyTorch and of the CUDA runtime, so that it
// can be computed, and the kernels interpreted, on a machine without a GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace cnnops::cuda {

// What a plan may know of the GPU. It must not depend on more, or bits would.
struct Device {
  int capability;  // 10 * major + minor
};

// Blocks form a one-dimensional grid of at most kLargestGrid.
inline constexpr int64_t kLargestGrid = 2147483647;

struct Launch {
  std::string kernel;  // as CUDA C++ spells it inside this namespace: "pack_filter<float>"
  int64_t blocks;
  int threads;                        // of a block
  int64_t shared_bytes;               // dynamic shared memory of a block
  std::vector<std::byte> parameters;  // the kernel's one parameter, a struct
};

// Launches that run one after the other. Their parameters point into a workspace of workspace_bytes
// (and nowhere if the plan was made without one, to learn its size).
struct Plan {
  std::vector<Launch> launches;
  int64_t workspace_bytes = 0;
};

template <class Parameters>
Launch make_launch(std::string kernel, int64_t blocks, int threads, const Parameters& parameters,
                   int64_t shared_bytes = 0) {
  static_assert(std::is_trivially_copyable_v<Parameters>);
  std::vector<std::byte> bytes(sizeof(Parameters));
  std::memcpy(bytes.data(), &parameters, sizeof(Parameters));
  return {std::move(kernel), blocks, threads, shared_bytes, std::move(bytes)};
}

template <class Int>
constexpr Int ceil_div(Int numerator, Int denominator) {
  return (numerator + denominator - 1) / denominator;
}

}  // namespace cnnops::cuda
