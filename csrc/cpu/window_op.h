// Defaults an operation on windows starts from: one operand, one sweep, one result, no weights.
#pragma once

#include "window.h"

namespace cnnops::CNNOPS_TARGET {

template <class Number>
struct WindowOp {
  using A = Number;
  static constexpr int kOperands = 1, kSweeps = 1;
  static constexpr bool kHasExtra = false;

  Nothing<A> second, third, own;
  NoResult<A> extra;

  struct NoFactor {};
  template <class Lanes>
  CNNOPS_INLINE NoFactor factor(int64_t, int64_t, Lanes) const {
    return {};
  }
  template <class State>
  CNNOPS_INLINE Vec<A> more(const State&) const {
    return Vec<A>{};
  }
};

// An execution whose workspace starts after the part that `arena` has handed out.
CNNOPS_INLINE Execution beyond(const Execution& execution, const Arena& arena) {
  return {execution.parallel_for, execution.threads, execution.workspace + arena.size()};
}

}  // namespace cnnops::CNNOPS_TARGET
