// Which samples each window of a pooling covers, forward and backward alike: a result is a fold over
// a few samples of a source map. Backward the results are the input's samples, and the "window" of
// one holds the windows that cover it.
#pragma once

#include "../correlation.h"

namespace cnnops {

// The taps of a window that lie inside the source along one axis.
struct Reach {
  int64_t source;  // the sample of the first
  int64_t taps;    // how many
  int64_t tap;     // the position of the first in the whole window
};

// Results in one row whose windows have the same taps: `step` apart, their samples `stride` apart.
struct WindowRun {
  int64_t first, step, count, stride;
  Reach reach;  // of the first result
};

// Whether windows lie side by side without gaps, so that a sample has one, or none behind the last.
inline bool windows_tile(const Pool2dShape& shape) {
  const auto tile = [](int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
    return kernel == stride && padding == 0 && dilation == 1;
  };
  return tile(shape.kernel.h, shape.stride.h, shape.padding.h, shape.dilation.h) &&
         tile(shape.kernel.w, shape.stride.w, shape.padding.w, shape.dilation.w);
}

class PoolWindows {
 public:
  // From the input to the output.
  static PoolWindows forward(const Pool2dShape& shape);
  // From the output back to the input.
  static PoolWindows backward(const Pool2dShape& shape);
  PoolWindows(const PoolWindows&) = delete;
  ~PoolWindows();

  Pair source, result;      // maps
  Pair dilation, tap_step;  // from one tap of a window to the next: samples, positions
  int64_t kernel_columns;   // a position is row * kernel_columns + column
  const Reach* rows;        // of every row of the result
  const WindowRun* runs;    // together every column of the result
  int64_t run_count;

  // That of tap (r, s) of a window.
  int64_t position(const Reach& row, const Reach& column, int64_t r, int64_t s) const {
    return (row.tap + r * tap_step.h) * kernel_columns + column.tap + s * tap_step.w;
  }
  // At most so many source rows or columns lie under `count` results in succession.
  int64_t rows_under(int64_t count) const {
    return under(count, growth_.extent.h, growth_.up.h, growth_.down.h, source.h);
  }
  int64_t columns_under(int64_t count) const {
    return under(count, growth_.extent.w, growth_.up.w, growth_.down.w, source.w);
  }

 private:
  // `count` results reach ((count - 1) * up + extent - 1) / down + 1 samples.
  struct Growth {
    Pair extent, up, down;
  };

  PoolWindows(const Lattices& lattices, Pair source, Pair result, int64_t kernel_columns,
              const Growth& growth);

  static int64_t under(int64_t count, int64_t extent, int64_t up, int64_t down, int64_t most) {
    const int64_t samples = ((count - 1) * up + extent - 1) / down + 1;
    return samples < most ? samples : most;
  }

  Growth growth_;
};

}  // namespace cnnops
