// From PyTorch's tensors and threads to what kernels take.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include "execution.h"
#include "scalar_types.h"

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

inline void parallel_for(int64_t tasks, void* context, RangeBody body) {
  at::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
    body(context, first, last, at::get_thread_num());
  });
}

inline int64_t thread_count() { return at::get_num_threads(); }

// Calls kernel(execution) with a workspace of workspace_bytes(threads).
template <class Bytes, class Kernel>
void launch(Bytes workspace_bytes, Kernel kernel) {
  const int64_t threads = thread_count();
  const at::Tensor workspace =
      at::empty({workspace_bytes(threads)}, at::TensorOptions().dtype(at::kByte));
  kernel(Execution{parallel_for, threads, static_cast<char*>(workspace.mutable_data_ptr())});
}

inline bool is_channels_last(at::MemoryFormat format) {
  return format == at::MemoryFormat::ChannelsLast;
}

}  // namespace cnnops
