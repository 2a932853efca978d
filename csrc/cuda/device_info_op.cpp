// Registers _cuda_device_info, for python -m cnnops.info.

#include <torch/library.h>

#include <tuple>

#include "device_info.h"

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

}  // namespace

TORCH_LIBRARY_FRAGMENT(cnnops, library) {
  library.def("_cuda_device_info() -> (int runtime_version, str[] devices, str problem)",
              &device_info);
}
