// What the host tells the pooling kernels. Free of CUDA's headers.
#pragma once

#include "../tensor_view.h"
#include "divider.h"

namespace cnnops::cuda {

// Threads of a block, and the least blocks that a multiprocessor shall hold. Not told the latter, the
// compiler spills registers to fit in one more.
inline constexpr int kPool2dThreads = 128, kPool2dBlocks = 4;

// Bytes of the channels that a thread folds side by side.
inline constexpr int kPool2dGroupBytes = 16;

// One axis of a pooling. Sample i of the input lies under tap t of window p where
//   i + padding = p * stride + t * dilation.
// For a given i that asks for t * dilation = i + padding (mod stride). It is solvable if `common`,
// the greatest common divisor of stride and dilation, divides the right side m; the smallest
// solution is then m / common * inverse (mod period), the others follow `period` apart, and belong
// to windows `step` apart.
struct Pool2dAxis {
  int64_t input, output, kernel, padding, inverse;
  Divider stride, dilation, common, period, step;
};

// x^power, x^less_one and x^root of an Lp pooling.
struct Pool2dExponents {
  double power, less_one, root;
};

// A tensor read at the samples of a window: `down` and `right` are elements from tap to tap.
struct Pool2dOperand {
  const void* data;
  Strides4 stride;
  int64_t down, right;
};

// One pass. A kernel reads `first` and `second` at the samples of a window, `own` at the position of
// the result, and writes `result` and `extra` there, which are dense in the result's memory format.
struct Pool2dParams {
  int64_t threads;                // that have a result to compute
  Divider groups, rows, columns;  // of the result; a group of channels is one thread's
  int64_t channels;
  bool channels_last;  // of the result
  Pool2dAxis h, w;
  Pool2dOperand first, second;
  ConstTensor own;
  void *result, *extra;
  int64_t plane;  // elements of the result from channel to channel
  bool count_include_pad;
  int64_t divisor_override;  // 0: none
  Pool2dExponents exponents;
};

}  // namespace cnnops::cuda
