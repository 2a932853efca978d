#include "implicit_gemm_plan.h"

#include <algorithm>
#include <cstdlib>

namespace cnnops::cuda {
namespace {

constexpr int64_t kLargest = int64_t(1) << 29;

bool fits(int64_t input, int64_t output, int64_t before, int64_t after, int64_t stride,
          int64_t dilation) {
  return input <= kLargest && output <= kLargest && std::abs(before) <= kLargest / 2 &&
         std::abs(after) <= kLargest / 2 && stride <= kLargest && dilation <= kLargest;
}

}  // namespace

bool implicit_gemm_supports(const Conv2dProblem& problem) {
  const Conv2dShape& shape = problem.shape;
  const int64_t taps = shape.kernel.h * shape.kernel.w;
  const int64_t channels = std::max(shape.in_channels, shape.out_channels) / shape.groups;
  return fits(shape.input.h, shape.output.h, shape.padding.top, shape.padding.bottom,
              shape.stride.h, shape.dilation.h) &&
         fits(shape.input.w, shape.output.w, shape.padding.left, shape.padding.right,
              shape.stride.w, shape.dilation.w) &&
         shape.in_channels > 0 && shape.out_channels > 0 && taps <= kLargest &&
         channels <= kLargest / taps;
}

}  // namespace cnnops::cuda
