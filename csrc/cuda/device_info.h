// What the CUDA runtime says about this machine.

#pragma once

#include <string>
#include <vector>

namespace cnnops {

struct CudaDevice {
  std::string name;
  int major;  // compute capability
  int minor;
};

struct CudaDeviceInfo {
  int runtime_version;  // 1000 * major + 10 * minor
  std::vector<CudaDevice> devices;
  std::string problem;  // why there is no device; empty where there is one
};

CudaDeviceInfo cuda_device_info();

}  // namespace cnnops
