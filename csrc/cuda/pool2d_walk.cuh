// Which samples a window operation visits for one result, along one axis.
#pragma once

#include "divider.cuh"
#include "pool2d_params.h"

namespace cnnops::cuda {

// Source samples `sample + j * step` under taps `tap + j * tap_step`, j < count: all inside the
// source, in ascending order.
struct Walk {
  int64_t sample, step;
  int tap, tap_step, count;
};

// The input samples of window i. Without any, `tap` is still a tap of the window.
inline __device__ Walk window_samples(const Pool2dAxis& axis, int64_t i) {
  const int64_t start = i * axis.stride.divisor - axis.padding;
  const int64_t room = axis.input - start;
  int64_t first = 0, last = axis.kernel;
  if (start < 0) first = min(divide_up(-start, axis.dilation), axis.kernel);
  if ((axis.kernel - 1) * axis.dilation.divisor >= room)
    last = room > 0 ? divide_up(room, axis.dilation) : 0;
  const int64_t tap = min(first, axis.kernel - 1);
  return {start + tap * axis.dilation.divisor, axis.dilation.divisor, static_cast<int>(tap), 1,
          static_cast<int>(max(last - first, int64_t(0)))};
}

// The smallest tap that any window puts on input sample i, or one beyond the kernel.
inline __device__ int64_t smallest_tap(const Pool2dAxis& axis, int64_t residue) {
  if (axis.dilation.divisor == 1) return residue;
  const int64_t multiple = residue / axis.common;
  if (multiple * axis.common.divisor != residue) return axis.kernel;
  int64_t solution = multiple * axis.inverse;
  return take_digit(solution, axis.period);
}

// The windows that cover input sample i.
inline __device__ Walk covering_windows(const Pool2dAxis& axis, int64_t i) {
  int64_t window = i + axis.padding;
  const int64_t residue = take_digit(window, axis.stride);
  const int64_t tap = smallest_tap(axis, residue);
  // Tap `tap + j * period` belongs to window `last - j * step`.
  const int64_t from = i + axis.padding - tap * axis.dilation.divisor;
  if (tap >= axis.kernel || from < 0) return {};
  const int64_t last = axis.dilation.divisor == 1 ? window : from / axis.stride;
  int64_t first_j = 0, last_j = 0;
  if (tap + axis.period.divisor < axis.kernel) last_j = (axis.kernel - 1 - tap) / axis.period;
  if (last >= axis.output) first_j = divide_up(last - axis.output + 1, axis.step);
  if (last < last_j * axis.step.divisor) last_j = last / axis.step;
  return {last - last_j * axis.step.divisor, axis.step.divisor,
          static_cast<int>(tap + last_j * axis.period.divisor),
          -static_cast<int>(axis.period.divisor),
          static_cast<int>(max(last_j - first_j + 1, int64_t(0)))};
}

}  // namespace cnnops::cuda
