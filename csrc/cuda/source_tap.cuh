// Entries of the table of taps.
#pragma once

#include "conv2d_parameters.h"

namespace cnnops::cuda {

// By one load of 16 bytes.
inline __device__ SourceTap load_tap(const SourceTap* entry) {
  const longlong2 words = *reinterpret_cast<const longlong2*>(entry);
  return {words.x, int32_t(words.y), int32_t(words.y >> 32)};
}

}  // namespace cnnops::cuda
