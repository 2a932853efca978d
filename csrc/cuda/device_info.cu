#include <cuda_runtime_api.h>

#include "device_info.h"

namespace cnnops {
namespace {

CudaDevice describe(int device) {
  cudaDeviceProp properties{};
  cudaGetDeviceProperties(&properties, device);
  return {properties.name, properties.major, properties.minor};
}

}  // namespace

CudaDeviceInfo cuda_device_info() {
  CudaDeviceInfo info{};
  cudaRuntimeGetVersion(&info.runtime_version);
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    cudaGetLastError();  // forget the error, so that the next caller does not meet it
    info.problem = cudaGetErrorString(status);
    return info;
  }
  for (int device = 0; device < count; ++device) info.devices.push_back(describe(device));
  return info;
}

}  // namespace cnnops
