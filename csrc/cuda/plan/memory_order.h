// How the channels of a tensor lie in memory, which decides how kernels read it.
#pragma once

#include <cstdint>

#include "../../tensor_view.h"
#include "../tile.h"

namespace cnnops::cuda {

// Whether 16 bytes, `chunk` channels, lie next to each other, and aligned, at every pixel of groups
// of so many channels.
inline bool has_chunks(const void* data, const Strides4& stride, int64_t channels, int64_t chunk) {
  return stride.c == 1 && channels % chunk == 0 && stride.n % chunk == 0 && stride.h % chunk == 0 &&
         stride.w % chunk == 0 && reinterpret_cast<uintptr_t>(data) % kChunkBytes == 0;
}

// Whether neighbouring channels are closer than neighbouring columns. Strides alone decide: sums
// follow this order, and bits must not depend on where the memory starts.
inline bool has_inner_channels(const Strides4& stride) {
  return stride.c == 1 || stride.c < stride.w;
}

}  // namespace cnnops::cuda
