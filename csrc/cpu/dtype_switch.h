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

// with_storage for a dtype that is computed in A.
template <class A, class Body>
auto with_storage_of(DType dtype, Body body) {
  if constexpr (sizeof(A) == 8) {
    return body.template operator()<double>();
  } else if (dtype == DType::kFloat32) {
    return body.template operator()<float>();
  } else if (dtype == DType::kBFloat16) {
    return body.template operator()<BFloat16>();
  } else {
    return body.template operator()<Float16>();
  }
}

}  // namespace cnnops::CNNOPS_TARGET
