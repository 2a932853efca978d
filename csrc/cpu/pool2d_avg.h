// Average pooling: the sum of a window divided by its size, and its adjoint.
#pragma once

#include "pool2d_forward.h"
#include "pool2d_gradient.h"

namespace cnnops::CNNOPS_TARGET {

// Samples of window i along an axis, without and with the padding. What ceil_mode lets hang over
// the padded end never counts.
CNNOPS_INLINE int64_t window_samples(const WindowAxis& axis, int64_t i) {
  const int64_t start = i * axis.stride - axis.padding;
  return larger<int64_t>(0, smaller(start + axis.kernel, axis.input) - larger<int64_t>(start, 0));
}
CNNOPS_INLINE int64_t padded_window_samples(const WindowAxis& axis, int64_t i) {
  const int64_t start = i * axis.stride - axis.padding;
  return smaller(start + axis.kernel, axis.input + axis.padding) - start;
}

// What the sum of the window of output (row, column) is divided by.
template <class A>
struct Divisors {
  WindowGrid grid;
  bool count_include_pad;
  int64_t divisor_override;

  CNNOPS_INLINE A at(int64_t row, int64_t column) const {
    if (divisor_override != 0) return A(divisor_override);
    if (count_include_pad)
      return A(padded_window_samples(grid.h, row)) * A(padded_window_samples(grid.w, column));
    return A(window_samples(grid.h, row)) * A(window_samples(grid.w, column));
  }

  // Whether all windows of so many rows and columns have the same.
  bool are_equal(Pair windows) const {
    for (int64_t p = 1; p < windows.h; ++p)
      if (at(p, 0) != at(0, 0)) return false;
    for (int64_t q = 1; q < windows.w; ++q)
      if (at(0, q) != at(0, 0)) return false;
    return true;
  }
};

template <class Number>
struct AvgForward : PoolOp<Number> {
  using A = Number;
  Divisors<A> divisors;

  // Windows with the same taps inside the map have the same size, with and without padding.
  struct Constants {
    Vec<A> divisor;
  };
  CNNOPS_INLINE Constants constants(int64_t row, int64_t column, int64_t) const {
    return {splat<A>(divisors.at(row, column))};
  }
  struct State {
    Vec<A> sum;
  };
  CNNOPS_INLINE State start(auto, Vec<A>) const { return State{}; }
  template <int>
  CNNOPS_INLINE void step(State& state, Vec<A> x, Vec<A>, int64_t) const {
    state.sum += x;
  }
  CNNOPS_INLINE Vec<A> value(const State& state, const Constants& constants) const {
    return state.sum / constants.divisor;
  }
};

// grad_input: grad_output / divisor, summed over the windows that cover a sample.
template <class Number>
struct AvgBackward : PoolOp<Number> {
  using A = Number;
  static constexpr bool kPrepares = true;
  Divisors<A> divisors;

  CNNOPS_INLINE Vec<A> preparation(int64_t row, int64_t column) const {
    return splat<A>(divisors.at(row, column));
  }
  CNNOPS_INLINE void prepare(Vec<A>& grad_output, Vec<A>&, Vec<A> divisor) const {
    grad_output /= divisor;
  }
  struct State {
    Vec<A> sum;
  };
  CNNOPS_INLINE State start(auto, Vec<A>) const { return State{}; }
  template <int>
  CNNOPS_INLINE void step(State& state, Vec<A> share, Vec<A>, auto) const {
    state.sum += share;
  }
  CNNOPS_INLINE Vec<A> value(const State& state, auto) const { return state.sum; }
};

// The same where all windows have the same divisor.
template <class Number>
struct EqualAvgBackward : PoolOp<Number> {
  using A = Number;
  A share;  // 1 / divisor

  struct State {
    Vec<A> sum;
  };
  CNNOPS_INLINE State start(auto, Vec<A>) const { return State{}; }
  template <int>
  CNNOPS_INLINE void step(State& state, Vec<A> grad_output, Vec<A>, auto) const {
    state.sum = multiply_add<A>(grad_output, splat<A>(share), state.sum);
  }
  CNNOPS_INLINE Vec<A> value(const State& state, auto) const { return state.sum; }
};

template <class A>
struct AvgPool2d {
  static Divisors<A> divisors(const Pool2dProblem& problem, const AvgPool2dTensors& tensors) {
    return {window_grid(problem.shape), tensors.count_include_pad, tensors.divisor_override};
  }
  static PoolTensors<A> operands(const Pool2dProblem& problem, const AvgPool2dTensors& tensors) {
    PoolTensors<A> of{};
    of.source[0] = values<A>(problem, tensors.values);
    of.result[0] = values<A>(problem, tensors.result);
    return of;
  }

  static void forward(const Pool2dProblem& problem, const AvgPool2dTensors& tensors,
                      const Execution& execution) {
    pool_forward<A>(problem, AvgForward<A>{{}, divisors(problem, tensors)},
                    operands(problem, tensors), execution);
  }
  static void backward(const Pool2dProblem& problem, const AvgPool2dTensors& tensors,
                       const Execution& execution) {
    const Divisors<A> all = divisors(problem, tensors);
    const PoolTensors<A> of = operands(problem, tensors);
    if (all.are_equal(problem.shape.output)) {
      return pool_gradient<void>(problem, EqualAvgBackward<A>{{}, 1 / all.at(0, 0)}, of, execution);
    }
    pool_gradient<void>(problem, AvgBackward<A>{{}, all}, of, execution);
  }
};

}  // namespace cnnops::CNNOPS_TARGET
