// The problem of a 2-D convolution and its output-size rule, free of PyTorch's headers.
//
//   output(n, k, p, q) = bias(k) + sum_{c,r,s} input(n, g * C/groups + c, y, x) * weight(k, c, r, s)
//   with y = p * stride.h - padding.top + r * dilation.h
//   and  x = q * stride.w - padding.left + s * dilation.w
//
// without a flip of the kernel; g is the group of output channel k, and what lies outside the input
// counts as zero. Int is int64_t in kernels and a symbolic integer where shapes are traced.
#pragma once

#include <cstdint>

namespace cnnops {

template <class Int>
struct BasicPair {
  Int h, w;
};

// Rows and columns of zeros around a map; negative values crop it.
template <class Int>
struct BasicEdges {
  Int top, bottom, left, right;
};

template <class Int>
struct BasicConv2dShape {
  Int batch, in_channels, out_channels, groups;
  BasicPair<Int> input, kernel, output, stride, dilation;
  BasicEdges<Int> padding;
};

using Pair = BasicPair<int64_t>;
using Conv2dShape = BasicConv2dShape<int64_t>;

// Extent of a window of `kernel` samples that lie `dilation` apart.
template <class Int>
Int window_extent(const Int& kernel, const Int& dilation) {
  return (kernel - 1) * dilation + 1;
}

// Windows that fit an axis of `padded` samples (input plus padding), `stride` apart; `padded` >=
// the window's extent.
template <class Int>
Int windows_that_fit(const Int& padded, const Int& kernel, const Int& stride, const Int& dilation) {
  return (padded - window_extent(kernel, dilation)) / stride + 1;
}

}  // namespace cnnops
