// Tensors as kernels see them, free of PyTorch's headers.
#pragma once

#include <cstdint>

namespace cnnops {

// A tensor's memory: strides in elements, in the order of (N, C, H, W) or (K, C/groups, R, S).
struct Strides4 {
  int64_t n, c, h, w;
};
struct ConstTensor {
  const void* data;
  Strides4 stride;
};
struct MutableTensor {
  void* data;
  Strides4 stride;
};

}  // namespace cnnops
