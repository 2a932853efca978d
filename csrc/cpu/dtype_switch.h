// From a dtype at run time to a storage type at compile time.
#pragma once

#include "../scalar_types.h"

namespace cnnops::CNNOPS_TARGET {

// body.operator()<T>() with the storage type of a dtype.
template <class Body>
auto with_storage(DType dtype, Body body) {
  switch (dtype) {
    case DType::kFloat64:
      return body.template operator()<double>();
    case DType::kFloat32:
      return body.template operator()<float>();
    case DType::kBFloat16:
      return body.template operator()<BFloat16>();
    case DType::kFloat16:
      return body.template operator()<Float16>();
  }
  __builtin_unreachable();
}

// The same for dtypes whose sums are float.
template <class Body>
auto with_narrow_storage(DType dtype, Body body) {
  switch (dtype) {
    case DType::kBFloat16:
      return body.template operator()<BFloat16>();
    case DType::kFloat16:
      return body.template operator()<Float16>();
    default:
      return body.template operator()<float>();
  }
}

}  // namespace cnnops::CNNOPS_TARGET
