// Element types of tensors, free of PyTorch's headers.
#pragma once

#include <cstdint>

namespace cnnops {

enum class DType { kFloat64, kFloat32, kBFloat16, kFloat16 };

// Half types are storage only: kernels widen them to float on load and round to nearest even on
// store.
struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

// The type a kernel computes and accumulates in.
template <class T>
struct AccumulateType {
  using type = float;
};
template <>
struct AccumulateType<double> {
  using type = double;
};
template <class T>
using Accumulate = typename AccumulateType<T>::type;

}  // namespace cnnops
