// The problem of a 2-D pooling and its output-size rule, free of PyTorch's headers.
//
// Output (p, q) looks at the input samples (y, x) inside the map with
//   y = p * stride.h - padding.h + r * dilation.h, r < kernel.h
//   x = q * stride.w - padding.w + s * dilation.w, s < kernel.w
#pragma once

#include "conv2d_shape.h"

namespace cnnops {

template <class Int>
struct BasicPool2dShape {
  Int batch, channels;
  BasicPair<Int> input, kernel, output, stride, padding, dilation;
};

using Pool2dShape = BasicPool2dShape<int64_t>;

// Offsets are positions r * kernel.w + s inside a window: uint8_t where a window has at most
// kSmallWindow of them, else int32_t.
inline constexpr int64_t kSmallWindow = 256;
inline bool has_small_window(const Pool2dShape& shape) {
  return shape.kernel.h * shape.kernel.w <= kSmallWindow;
}

// Windows along one axis, none or less if not one fits. With ceil_mode a last window may hang over
// the end, but it starts inside the input or its left padding.
template <class Int>
Int pooled_extent(const Int& input, const Int& kernel, const Int& stride, const Int& padding,
                  const Int& dilation, bool ceil_mode) {
  const Int room =
      input + 2 * padding - window_extent(kernel, dilation) + (ceil_mode ? stride - 1 : Int(0));
  if (room < 0) return 0;
  const Int count = room / stride + 1;
  return ceil_mode && (count - 1) * stride >= input + padding ? count - 1 : count;
}

}  // namespace cnnops
