// From elements of tensors to operands of products.
#pragma once

#include <type_traits>

#include "ptx.cuh"

namespace cnnops::cuda {

template <class Operand, class Storage>
__device__ Operand operand_of(Storage value) {
  if constexpr (std::is_same_v<Operand, Storage>) {
    return value;
  } else if constexpr (std::is_same_v<Operand, Tf32>) {
    return {round_to_tf32(value)};
  } else {
    return widen(value);
  }
}

}  // namespace cnnops::cuda
