// Tells what this build has for CUDA and what it sees of it, for python -m cnnops.info and tests.

#include <torch/library.h>

#include <tuple>

#include "device_info.h"
#include "kernels.h"

namespace {

// (CUDA runtime version, one line a device, why there is none)
std::tuple<int64_t, std::vector<std::string>, std::string> device_info() {
  const cnnops::CudaDeviceInfo info = cnnops::cuda_device_info();
  std::vector<std::string> lines;
  for (const cnnops::CudaDevice& device : info.devices) {
    lines.push_back(device.name + ", compute capability " + std::to_string(device.major) + "." +
                    std::to_string(device.minor));
  }
  return {info.runtime_version, lines, info.problem};
}

std::vector<std::string> kernels() {
  std::vector<std::string> names;
  for (const cnnops::cuda::Kernel& kernel : cnnops::cuda::all_kernels())
    names.push_back(kernel.name);
  return names;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(cnnops, library) {
  library.def("_cuda_device_info() -> (int runtime_version, str[] devices, str problem)",
              &device_info);
  library.def("_cuda_kernels() -> str[]", &kernels);
}
