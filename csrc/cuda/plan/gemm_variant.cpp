#include "gemm_variant.h"

namespace cnnops::cuda {
namespace {

bool on_tensor_cores(DType dtype, const Conv2dSettings& settings) {
  switch (dtype) {
    case DType::kFloat16:
      return true;
    case DType::kBFloat16:
      return settings.device.capability >= 80;
    case DType::kFloat32:
      return settings.device.capability >= 80 && settings.allow_tf32;
    case DType::kFloat64:
      return false;
  }
  __builtin_unreachable();
}

// The narrowest tile that takes all columns at once, or the widest.
int64_t tile_columns(int64_t columns, int64_t widest) {
  int64_t tile = 32;
  while (tile < columns && tile < widest) tile *= 2;
  return tile;
}

// Half types that the tensor cores do not know are widened to float.
std::string operand_name(DType dtype, bool tensor_cores) {
  if (dtype == DType::kFloat64) return "double";
  if (!tensor_cores) return "float";
  return dtype == DType::kFloat32 ? "Tf32" : storage_name(dtype);
}

GemmVariant variant_of(DType dtype, const Conv2dSettings& settings, int64_t rows, int64_t columns) {
  const bool tensor_cores = on_tensor_cores(dtype, settings);
  const std::string operand = operand_name(dtype, tensor_cores);
  const int64_t bytes = dtype == DType::kFloat64 ? 8 : tensor_cores ? size_of(dtype) : 4;
  return {(tensor_cores ? "TensorCore<" : "Simt<") + operand + ", " + std::to_string(rows) + ", " +
              std::to_string(columns) + ">",
          operand,
          bytes,
          dtype == DType::kFloat64 ? 8 : 4,
          rows,
          columns};
}

}  // namespace

GemmVariant correlation_variant(DType dtype, const Conv2dSettings& settings, int64_t columns) {
  const int64_t rows = dtype == DType::kFloat64 ? 64 : 128;
  return variant_of(dtype, settings, rows, tile_columns(columns, rows));
}

GemmVariant weight_grad_variant(DType dtype, const Conv2dSettings& settings, int64_t rows,
                                int64_t columns) {
  const bool is_small = dtype == DType::kFloat64 || rows <= 64 || columns <= 64;
  return variant_of(dtype, settings, is_small ? 64 : 128, is_small ? 64 : 128);
}

}  // namespace cnnops::cuda
