// Average pooling: the sum of a window divided by its size, and its adjoint. The divisors depend on
// the output position alone; they are laid out as one map that all images and channels share.
#pragma once

#include "window_op.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
struct AvgForward : WindowOp<Accumulate<T>> {
  using A = Accumulate<T>;
  Values<T> first;
  Values<A> own;  // divisors
  ValueResult<T> result;

  struct State {
    Vec<A> sum;
  };
  CNNOPS_INLINE State start(Vec<A>) const { return State{}; }
  template <int>
  CNNOPS_INLINE void step(State& state, const Samples<A>& samples, int64_t, auto) const {
    state.sum += samples.first;
  }
  CNNOPS_INLINE void finish(State& state, Vec<A> divisor) const { state.sum /= divisor; }
  CNNOPS_INLINE Vec<A> value(const State& state) const { return state.sum; }
};

// grad_input: grad_output / divisor, summed over the windows that cover a sample.
template <class T>
struct AvgBackward : WindowOp<Accumulate<T>> {
  using A = Accumulate<T>;
  static constexpr int kOperands = 2;
  Values<T> first;   // grad_output
  Values<A> second;  // divisors
  ValueResult<T> result;

  struct State {
    Vec<A> sum;
  };
  CNNOPS_INLINE State start(Vec<A>) const { return State{}; }
  template <int>
  CNNOPS_INLINE void step(State& state, const Samples<A>& samples, int64_t, auto) const {
    state.sum += samples.first / samples.second;
  }
  CNNOPS_INLINE void finish(State&, Vec<A>) const {}
  CNNOPS_INLINE Vec<A> value(const State& state) const { return state.sum; }
};

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

template <class A>
void fill_divisors(const Pool2dShape& shape, const AvgPool2dTensors& tensors, A* map) {
  const WindowGrid grid = window_grid(shape);
  for (int64_t p = 0; p < shape.output.h; ++p) {
    for (int64_t q = 0; q < shape.output.w; ++q) {
      if (tensors.divisor_override != 0) {
        *map++ = A(tensors.divisor_override);
      } else if (tensors.count_include_pad) {
        *map++ = A(padded_window_samples(grid.h, p)) * A(padded_window_samples(grid.w, q));
      } else {
        *map++ = A(window_samples(grid.h, p)) * A(window_samples(grid.w, q));
      }
    }
  }
}

template <class T>
struct AvgPool2d {
  using A = Accumulate<T>;

  template <class Op>
  static void run(const Pool2dProblem& problem, const WindowProblem& windows,
                  const AvgPool2dTensors& tensors, const Execution& execution) {
    Arena arena(execution.workspace);
    A* divisors = arena.take<A>(problem.shape.output.h * problem.shape.output.w);
    fill_divisors(problem.shape, tensors, divisors);
    // Beyond the map a gradient counts as 0 / 1.
    const Op op{{},
                {static_cast<const T*>(tensors.values.data), tensors.values.stride, 0},
                {divisors, shared_map(problem.shape), 1},
                {static_cast<T*>(tensors.result.data), tensors.result.stride}};
    run_windows(windows, op, problem.channels_last, beyond(execution, arena));
  }

  static void forward(const Pool2dProblem& problem, const AvgPool2dTensors& tensors,
                      const Execution& execution) {
    run<AvgForward<T>>(problem, forward_windows(problem.shape), tensors, execution);
  }
  static void backward(const Pool2dProblem& problem, const AvgPool2dTensors& tensors,
                       const Execution& execution) {
    run<AvgBackward<T>>(problem, gradient_windows(problem.shape), tensors, execution);
  }
};

}  // namespace cnnops::CNNOPS_TARGET
