// Depthwise correlations with 3 x 3 filters whose taps are as far apart as pixels, or half as far: a
// register tile of one or two rows of pixels loads a sample once for all the pixels it enters.
#pragma once

#include "../correlation.h"
#include "ahead.h"
#include "runs.h"

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

// Calls use(x, sample) for a row of kSamples vectors, `step` elements apart, of which only the first
// and the last may lie outside the source. Those from kFresh on are read for the first time, and fetched
// `ahead` elements before.
template <int kSamples, int kFresh, class T, class Use>
CNNOPS_INLINE void visit_samples(const T* from, int64_t step, Range inside, int64_t ahead,
                                 Use use) {
  const bool has_first = inside.has(0), has_last = inside.has(kSamples - 1);
#pragma GCC unroll 32
  for (int x = 0; x < kSamples; ++x, from += step) {
    if (x >= kFresh) __builtin_prefetch(from + ahead);
    if ((x == 0 && !has_first) || (x == kSamples - 1 && !has_last)) continue;
    use(x, load(from));
  }
}

// The same for row kY of the samples of kRows rows of kCount pixels: use(sample, r, i, t, s) for each
// pixel (r, i) that a sample enters, through tap (t, s).
template <int kStep, int kY, int kRows, int kCount, class T, class Use>
CNNOPS_INLINE void visit_square(const T* from, int64_t step, Range inside, int64_t ahead, Use use) {
  const auto visit = [&](int x, auto sample) __attribute__((always_inline)) {
#pragma GCC unroll 2
    for (int r = 0; r < kRows; ++r) {
      const int t = kY - r * kStep;
      if (t < 0 || t > 2) continue;
#pragma GCC unroll 16
      for (int i = 0; i < kCount; ++i) {
        const int s = x - i * kStep;
        if (s >= 0 && s <= 2) use(sample, r, i, t, s);
      }
    }
  };
  constexpr int kSamples = square_samples(kCount, kStep), kSeen = 3 - kStep;
  visit_samples<kSamples, (kY >= kSeen ? kSeen : kSamples)>(from, step, inside, ahead, visit);
}

// Pixels of a tile: the sums of two rows, the filter and a sample are in registers.
inline constexpr int kSquareRows = 2, kSquarePixels = kRegisters == 32 ? 4 : 2;

}  // namespace cnnops::CNNOPS_TARGET
