// What the host tells the pooling kernels. Free of CUDA's headers.
#pragma once

#include "../tensor_view.h"
#include "divider.h"

namespace cnnops::cuda {

// Threads of a block, and the least blocks that a multiprocessor shall hold. Not told the latter, the
// compiler spills registers to fit in one more.
inline constexpr int kPool2dThreads = 128, kPool2dBlocks = 4;

// Bytes of the channels that a thread folds side by side, and the most rows it computes, one after
// the other.
inline constexpr int kPool2dGroupBytes = 16, kPool2dRows = 4;

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
  int64_t threads;                              // that have results to compute
  Divider channel_groups, row_groups, columns;  // of the result; a thread has one of each
  int64_t channels, rows, rows_a_thread;
  int64_t plane, row;  // elements from channel to channel and from row to row
  bool channels_last;
  Pool2dAxis h, w;
  Pool2dOperand first, second;
  ConstTensor own;
  void *result, *extra;
  bool count_include_pad;
  int64_t divisor_override;  // 0: none
  Pool2dExponents exponents;
};

}  // namespace cnnops::cuda
