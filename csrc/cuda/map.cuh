// Positions in a map.
#pragma once

namespace cnnops::cuda {

// Both comparisons at once, without a branch between them.
inline __device__ bool is_inside(int h, int w, int height, int width) {
  return static_cast<bool>((unsigned(h) < unsigned(height)) & (unsigned(w) < unsigned(width)));
}

}  // namespace cnnops::cuda
