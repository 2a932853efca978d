// Checks that the operators share. Each error names the operator and the argument, what was
// expected and what came.
#pragma once

#include <string>

#include <ATen/core/Tensor.h>
#include <c10/core/SymIntArrayRef.h>
#include <c10/util/ArrayRef.h>

#include "conv2d_shape.h"

namespace cnnops {

// Of strides, paddings, dilations, kernel sizes and groups; and of a map's height and width. Within
// them no sum or product of a shape overflows 64 bits.
inline constexpr int64_t kLargestArgument = 2147483647, kLargestExtent = int64_t(1) << 62;

// "float32" and the like, as Python users know them.
std::string dtype_name(at::ScalarType dtype);

void check_tensor(const char* op, const char* name, const at::Tensor& tensor, int64_t rank);

// `tensor` has the dtype and device of `like`.
void check_matches(const char* op, const char* name, const at::Tensor& tensor,
                   const char* like_name, const at::Tensor& like);

// The bytes of a tensor of these sizes can be counted in 63 bits.
void check_countable(const char* op, at::IntArrayRef sizes, const at::Tensor& like);
inline void check_countable(const char*, c10::SymIntArrayRef, const at::Tensor&) {}

// A tensor's sizes as numbers, or as symbols where shapes are traced.
template <class Int>
at::ArrayRef<Int> sizes_of(const at::Tensor& tensor);

template <class Int>
BasicPair<Int> check_pair(const char* op, const char* name, at::ArrayRef<Int> values,
                          int64_t least) {
  TORCH_CHECK(values.size() == 2, op, ": ", name, " must hold 2 numbers (height, width), got ",
              values);
  for (const Int& value : values) {
    TORCH_CHECK(value >= least && value <= kLargestArgument, op, ": ", name, " must be between ",
                least, " and ", kLargestArgument, ", got ", values);
  }
  return {values[0], values[1]};
}

template <class Int>
void check_sizes(const char* op, const char* name, at::ArrayRef<Int> sizes,
                 at::ArrayRef<Int> expected, const char* reason) {
  TORCH_CHECK(sizes.equals(expected), op, ": ", name, " must have the sizes ", expected, " (",
              reason, "), got ", sizes);
}

// channels_last if one of the tensors is, as torch's convolution decides.
at::MemoryFormat memory_format_of(const at::Tensor& activation);
at::MemoryFormat memory_format_of(const at::Tensor& activation, const at::Tensor& weight);

}  // namespace cnnops
