// Depthwise correlations with 3 x 3 filters whose taps are as far apart as pixels, or half as far: a
// register tile of one or two rows of pixels loads a sample once for all the pixels it enters.
#pragma once

#include "../correlation.h"
#include "vector.h"

namespace cnnops::CNNOPS_TARGET {

// The number of taps between pixels, 1 or 2, where a filter is 3 x 3; else 0.
CNNOPS_INLINE int64_t square_step(const Correlation& lattice) {
  const CorrelationAxis &h = lattice.h, &w = lattice.w;
  if (h.taps != 3 || w.taps != 3) return 0;
  for (const int64_t step : {1, 2})
    if (h.stride == step * h.dilation && w.stride == step * w.dilation) return step;
  return 0;
}

// So many samples of an axis enter so many pixels, kStep taps apart.
constexpr int square_samples(int pixels, int step) { return (pixels - 1) * step + 3; }

// Pixels of a tile: the sums of two rows, the filter and a sample are in registers.
inline constexpr int kSquareRows = 2, kSquarePixels = kRegisters == 32 ? 4 : 2;

}  // namespace cnnops::CNNOPS_TARGET
