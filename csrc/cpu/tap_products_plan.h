// How an input gradient by products of taps is cut: see implicit_gemm_tap_products.h.
#pragma once

#include "../conv2d_problem.h"
#include "../correlation.h"
#include "vector.h"

namespace cnnops::CNNOPS_TARGET {

// Pixels of a block of rows, about; elements of its products, and of a strip's sums, at most.
inline constexpr int64_t kTapPixels = 256, kTapProducts = 1 << 16, kStripElements = 1 << 15;

struct TapProductsPlan {
  WindowAxis h, w;
  int64_t reduce, produce;
  int64_t step;  // columns between windows: free, and 1, where there is one
  int64_t taps;  // rows of products: [channel][row][column]
  // Zeros between rows of pixels, as many as a row of results reaches beyond one of windows.
  int64_t gap;
  int64_t rows;  // of windows, in a block
  // Of a strip's sums, [channel][row][residue of the column][column], with columns counted from the first
  // of the padding: columns of a residue, those of them that windows reach, and rows.
  int64_t columns, reached, strip_rows;

  explicit TapProductsPlan(const Conv2dProblem& problem)
      : h(window_grid(problem.shape).h),
        w(window_grid(problem.shape).w),
        reduce(problem.shape.out_channels),
        produce(problem.shape.in_channels),
        step(w.output == 1 ? 1 : w.stride),
        taps(produce * h.kernel * w.kernel),
        gap((w.kernel - 1) / step),
        reached(w.output + gap) {
    const int64_t most = smaller(kTapPixels, kTapProducts / larger<int64_t>(1, taps));
    rows = smaller(h.output, larger<int64_t>(1, (most - gap) / reached));
    columns = larger(divide_up(w.input + w.padding, step), reached);
    strip_rows = larger<int64_t>(1, kStripElements / (produce * step * columns));
  }

  // Pixels of a block of so many rows, with a gap before each and behind the last.
  int64_t pixels(int64_t count) const { return gap + count * reached; }
};

// Input gradients of few channels by few filters, whose rows are longer than their gaps and whose
// products of a block of rows fit the cache.
CNNOPS_INLINE bool has_tap_products(const Conv2dProblem& problem) {
  constexpr int64_t kMostChannels = 8, kMostFilters = 256;
  const Conv2dShape& shape = problem.shape;
  const auto is_within = [](int64_t size, int64_t most) { return size >= 1 && size <= most; };
  if (problem.pass != Conv2dPass::kInputGrad || shape.groups != 1 ||
      !is_within(shape.in_channels, kMostChannels) ||
      !is_within(shape.out_channels, kMostFilters) || shape.output.h < 1 || shape.output.w < 1 ||
      shape.kernel.h * shape.kernel.w == 1 || shape.dilation.h != 1 || shape.dilation.w != 1 ||
      shape.padding.top < 0 || shape.padding.left < 0) {
    return false;
  }
  const TapProductsPlan plan(problem);
  return plan.gap <= plan.w.output && plan.taps * plan.pixels(plan.rows) <= kTapProducts &&
         plan.produce * plan.step * plan.columns <= kStripElements;
}

}  // namespace cnnops::CNNOPS_TARGET
