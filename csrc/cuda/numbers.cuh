// Storage types of tensors and the types kernels compute in: half types are storage only, except as
// operands of tensor cores.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace cnnops::cuda {

// float32 rounded to 10 bits after the point, an operand of tensor cores.
struct Tf32 {
  float value;
};

template <class T>
struct AccumulateOf {
  using type = float;
};
template <>
struct AccumulateOf<double> {
  using type = double;
};
template <class T>
using Accumulate = typename AccumulateOf<T>::type;

inline __device__ double widen(double x) { return x; }
inline __device__ float widen(float x) { return x; }
inline __device__ float widen(__half x) { return __half2float(x); }
inline __device__ float widen(__nv_bfloat16 x) { return __bfloat162float(x); }

// Rounds to nearest even.
template <class T>
__device__ T narrow(Accumulate<T> x) {
  return static_cast<T>(x);
}
template <>
inline __device__ __half narrow<__half>(float x) {
  return __float2half_rn(x);
}
template <>
inline __device__ __nv_bfloat16 narrow<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

}  // namespace cnnops::cuda
