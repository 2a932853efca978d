// Square windows of two or three rows and columns, two apart, over contiguous maps: half as many as samples
// along each axis, so that a vector of them reads and gives every second lane of two vectors of samples.
#pragma once

#include "pool2d_pairs.h"

namespace cnnops::CNNOPS_TARGET {

// Vectors of a row of windows.
inline constexpr int64_t kMostHalvedStrips = 16;

// Such windows, where rows of them fill a quarter of a vector.
template <class A>
bool has_halves(const Pool2dProblem& problem) {
  const Pool2dShape& shape = problem.shape;
  const auto is = [](Pair pair, int64_t value) { return pair.h == value && pair.w == value; };
  return kHasLaneMasks && !problem.channels_last && (is(shape.kernel, 2) || is(shape.kernel, 3)) &&
         is(shape.stride, 2) && is(shape.dilation, 1) && 4 * shape.output.w >= lanes<A> &&
         shape.output.w <= kMostHalvedStrips * lanes<A>;
}

// Only the first and the last row of windows may hang over an edge.
enum RowKind { kFirst, kInner, kLast, kRowKinds };
CNNOPS_INLINE RowKind kind_of_row(int64_t row, int64_t rows) {
  return row == 0 ? kFirst : row + 1 < rows ? kInner : kLast;
}
inline int64_t row_of_kind(RowKind kind, int64_t rows) {
  return kind == kFirst ? 0 : smaller<int64_t>(kind == kInner ? 1 : rows, rows - 1);
}

}  // namespace cnnops::CNNOPS_TARGET
