// Window operations: every result is a fold over the source samples its window covers, each channel
// for itself.
//
// An operation is a struct `Op` with
// - A: the type it computes in;
// - first, second, third: the operands read at each sample of a window (Values, Offsets, Nothing),
//   kOperands of them;
// - own: the operand read at the result's own position;
// - result, extra: what is written there (ValueResult, OffsetResult, NoResult); kHasExtra;
// - State: what a fold carries, in registers;
// - start(own) -> State, step<sweep>(state, samples, tap, factor), finish(state, own);
// - kSweeps: how often a window is walked over, and turn(state) between two sweeps;
// - factor(tap, channel, lanes): a weight of the tap, for the lanes of a vector;
// - value(state), more(state): the result and the extra result, after finish.
//
// A task is one row of the result: it shares nothing it writes, and every result is folded in the
// order of its taps.
#pragma once

#include "operand_lanes.h"

namespace cnnops::CNNOPS_TARGET {

struct WindowProblem {
  int64_t batch, channels;
  Pair result;  // rows and columns of the result; those that no lattice covers get the result of an
                // empty window
  Lattices axes;
  int64_t kernel_columns;  // a tap's index is row * kernel_columns + column
};

struct ChannelLanes {};
struct ColumnLanes {};

CNNOPS_INLINE int64_t tap_of(const CorrelationAxis& axis, int64_t t) {
  return axis.tap_first + t * axis.tap_step;
}

// The samples of one tap, at most one an operand.
template <class A>
struct Samples {
  Vec<A> first, second, third;
};

// The lattice a row belongs to and its place there; null where no window covers the row.
struct RowPlace {
  const CorrelationAxis* axis;
  int64_t index;
};
CNNOPS_INLINE RowPlace find_row(const Lattices& axes, int64_t row) {
  for (const CorrelationAxis& axis : axes.rows) {
    const int64_t beyond = row - axis.first;
    if (beyond >= 0 && beyond % axis.step == 0 && beyond / axis.step < axis.count)
      return {&axis, beyond / axis.step};
  }
  return {nullptr, 0};
}

}  // namespace cnnops::CNNOPS_TARGET
