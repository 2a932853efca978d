// Elements of tensors, as the kernels name them.
#pragma once

#include <cstdint>
#include <string>

#include "../../scalar_types.h"

namespace cnnops::cuda {

struct ElementType {
  std::string name;  // "float", "__half" and the like
  int64_t bytes;
};

inline ElementType element_type(DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
      return {"double", 8};
    case DType::kFloat32:
      return {"float", 4};
    case DType::kBFloat16:
      return {"__nv_bfloat16", 2};
    case DType::kFloat16:
      return {"__half", 2};
  }
  __builtin_unreachable();
}

inline std::string storage_name(DType dtype) { return element_type(dtype).name; }
inline int64_t size_of(DType dtype) { return element_type(dtype).bytes; }

}  // namespace cnnops::cuda
