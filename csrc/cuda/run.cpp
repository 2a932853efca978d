#include "run.h"

#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <string_view>
#include <unordered_map>

#include "kernels.h"

namespace cnnops::cuda {
namespace {

// Bytes of dynamic shared memory that a kernel gets without asking, of 48 KiB with its static.
constexpr int64_t kSharedByDefault = 40 * 1024;

const void* function_named(const std::string& name) {
  static const auto functions = [] {
    std::unordered_map<std::string, const void*> map;
    for (const Kernel& kernel : all_kernels()) map.emplace(kernel.name, kernel.function);
    return map;
  }();
  const auto found = functions.find(name);
  TORCH_INTERNAL_ASSERT(found != functions.end(), "cnnops has no CUDA kernel ", name);
  return found->second;
}

void start(const Launch& launch, cudaStream_t stream) {
  TORCH_CHECK(launch.blocks <= kLargestGrid, "cnnops: a tensor is too large for ", launch.kernel,
              ": its grid must have at most ", kLargestGrid, " blocks, got ", launch.blocks);
  const void* function = function_named(launch.kernel);
  if (launch.shared_bytes > kSharedByDefault) {
    C10_CUDA_CHECK(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        static_cast<int>(launch.shared_bytes)));
  }
  void* parameters = const_cast<std::byte*>(launch.parameters.data());
  C10_CUDA_CHECK(cudaLaunchKernel(function, dim3(static_cast<unsigned>(launch.blocks)),
                                  dim3(static_cast<unsigned>(launch.threads)), &parameters,
                                  static_cast<size_t>(launch.shared_bytes), stream));
}

}  // namespace

Device code_device() {
  cudaFuncAttributes attributes{};
  C10_CUDA_CHECK(cudaFuncGetAttributes(&attributes, function_named("tabulate_taps")));
  return {attributes.ptxVersion};
}

void run(const std::function<Plan(char* workspace)>& make_plan, const at::Tensor& like) {
  Plan plan = make_plan(nullptr);
  at::Tensor workspace;
  if (plan.workspace_bytes > 0) {
    workspace = at::empty({plan.workspace_bytes}, like.options().dtype(at::kByte));
    plan = make_plan(static_cast<char*>(workspace.mutable_data_ptr()));
  }
  const cudaStream_t stream = c10::cuda::getCurrentCUDAStream(like.get_device());
  for (const Launch& launch : plan.launches) start(launch, stream);
}

}  // namespace cnnops::cuda
