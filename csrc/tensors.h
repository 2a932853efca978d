// From PyTorch's tensors to what kernels take.
#pragma once

#include <ATen/core/Tensor.h>

#include "scalar_types.h"
#include "tensor_view.h"

namespace cnnops {

inline DType dtype_of(at::ScalarType type) {
  switch (type) {
    case at::kDouble:
      return DType::kFloat64;
    case at::kFloat:
      return DType::kFloat32;
    case at::kBFloat16:
      return DType::kBFloat16;
    case at::kHalf:
      return DType::kFloat16;
    default:
      TORCH_CHECK(false, "expected float64, float32, bfloat16 or float16, got ", type);
  }
}
inline DType dtype_of(const at::Tensor& tensor) { return dtype_of(tensor.scalar_type()); }

inline Strides4 strides_of(const at::Tensor& tensor) {
  return {tensor.stride(0), tensor.stride(1), tensor.stride(2), tensor.stride(3)};
}
inline ConstTensor read(const at::Tensor& tensor) {
  return {tensor.const_data_ptr(), strides_of(tensor)};
}
inline MutableTensor write(const at::Tensor& tensor) {
  return {tensor.mutable_data_ptr(), strides_of(tensor)};
}
// For a place of a call that one kernel reads and another writes.
inline MutableTensor read_only(const at::Tensor& tensor) {
  return {const_cast<void*>(tensor.const_data_ptr()), strides_of(tensor)};
}
inline bool is_channels_last(at::MemoryFormat format) {
  return format == at::MemoryFormat::ChannelsLast;
}

}  // namespace cnnops
