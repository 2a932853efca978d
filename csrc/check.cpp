#include "check.h"

namespace cnnops {

std::string dtype_name(at::ScalarType dtype) {
  switch (dtype) {
    case at::kDouble:
      return "float64";
    case at::kFloat:
      return "float32";
    case at::kHalf:
      return "float16";
    case at::kBFloat16:
      return "bfloat16";
    case at::kByte:
      return "uint8";
    case at::kInt:
      return "int32";
    case at::kLong:
      return "int64";
    case at::kBool:
      return "bool";
    case at::kComplexFloat:
      return "complex64";
    case at::kComplexDouble:
      return "complex128";
    default:
      return c10::toString(dtype);
  }
}

void check_tensor(const char* op, const char* name, const at::Tensor& tensor, int64_t rank) {
  TORCH_CHECK(tensor.dim() == rank, op, ": ", name, " must have ", rank, " dimensions, got ",
              tensor.dim(), " (sizes ", tensor.sym_sizes(), ")");
  const at::ScalarType dtype = tensor.scalar_type();
  TORCH_CHECK(
      dtype == at::kDouble || dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf,
      op, ": ", name, " must be float64, float32, bfloat16 or float16, got ", dtype_name(dtype));
  TORCH_CHECK(tensor.layout() == at::kStrided, op, ": ", name,
              " must be a dense tensor, got layout ", tensor.layout());
}

void check_matches(const char* op, const char* name, const at::Tensor& tensor,
                   const char* like_name, const at::Tensor& like) {
  TORCH_CHECK(tensor.scalar_type() == like.scalar_type(), op, ": ", name, " must have ", like_name,
              "'s dtype ", dtype_name(like.scalar_type()), ", got ",
              dtype_name(tensor.scalar_type()));
  TORCH_CHECK(tensor.device() == like.device(), op, ": ", name, " must be on ", like_name,
              "'s device ", like.device(), ", got ", tensor.device());
}

void check_countable(const char* op, at::IntArrayRef sizes, const at::Tensor& like) {
  int64_t bytes = like.element_size();
  bool overflows = false;
  for (const int64_t size : sizes) overflows |= __builtin_mul_overflow(bytes, size, &bytes);
  TORCH_CHECK(!overflows, op, ": the result must have fewer than 2^63 bytes, got the sizes ",
              sizes);
}

template <>
at::ArrayRef<int64_t> sizes_of<int64_t>(const at::Tensor& tensor) {
  return tensor.sizes();
}
template <>
at::ArrayRef<c10::SymInt> sizes_of<c10::SymInt>(const at::Tensor& tensor) {
  return tensor.sym_sizes();
}

at::MemoryFormat memory_format_of(const at::Tensor& activation) {
  return activation.suggest_memory_format();
}

at::MemoryFormat memory_format_of(const at::Tensor& activation, const at::Tensor& weight) {
  const bool channels_last = activation.suggest_memory_format() == at::MemoryFormat::ChannelsLast ||
                             weight.suggest_memory_format() == at::MemoryFormat::ChannelsLast;
  return channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
}

}  // namespace cnnops
