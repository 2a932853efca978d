// Max pooling: the maximum of a window, with the first of equal values winning and NaN winning over
// all, as torch's. Which position of the window won is kept as a small offset: its gradient is
// gathered through the offsets, so that nothing is scattered, and nothing is summed in an order
// that threads could change.
#pragma once

#include "window_op.h"

namespace cnnops::CNNOPS_TARGET {

template <class A>
CNNOPS_INLINE Vec<A> negative_infinity() {
  return splat<A>(-A(__builtin_inf()));
}

template <class T>
struct MaxForward : WindowOp<Accumulate<T>> {
  using A = Accumulate<T>;
  Values<T> first;
  ValueResult<T> result;

  struct State {
    Vec<A> max;
  };
  CNNOPS_INLINE State start(Vec<A>) const { return {negative_infinity<A>()}; }
  template <int>
  CNNOPS_INLINE void step(State& state, const Samples<A>& samples, int64_t, auto) const {
    const Vec<A> x = samples.first;
    // Not x <= max: larger, or NaN; a NaN that is already there stays, since it compares false with
    // everything.
    const Ints<A> wins = (x > state.max) | (x != x);
    state.max = wins ? x : state.max;
  }
  CNNOPS_INLINE void finish(State&, Vec<A>) const {}
  CNNOPS_INLINE Vec<A> value(const State& state) const { return state.max; }
};

// Also writes the winner's position. `own` holds the first position inside the map, for windows all
// at -infinity.
template <class T, class O>
struct MaxForwardWithOffsets : WindowOp<Accumulate<T>> {
  using A = Accumulate<T>;
  static constexpr bool kHasExtra = true;
  Values<T> first;
  Offsets<int32_t, A> own;
  ValueResult<T> result;
  OffsetResult<O, A> extra;

  struct State {
    Vec<A> max;
    Ints<A> offset;
  };
  CNNOPS_INLINE State start(Vec<A> first_tap) const {
    return {negative_infinity<A>(), bit_cast<Ints<A>>(first_tap)};
  }
  template <int>
  CNNOPS_INLINE void step(State& state, const Samples<A>& samples, int64_t tap, auto) const {
    const Vec<A> x = samples.first;
    const Ints<A> wins = (x > state.max) | (x != x);
    state.max = wins ? x : state.max;
    state.offset = wins ? splat_int<A>(Int<A>(tap)) : state.offset;
  }
  CNNOPS_INLINE void finish(State&, Vec<A>) const {}
  CNNOPS_INLINE Vec<A> value(const State& state) const { return state.max; }
  CNNOPS_INLINE Vec<A> more(const State& state) const { return bit_cast<Vec<A>>(state.offset); }
};

// grad_input: the gradients of the windows that this sample won.
template <class T, class O>
struct MaxBackward : WindowOp<Accumulate<T>> {
  using A = Accumulate<T>;
  static constexpr int kOperands = 2;
  Values<T> first;  // grad_output
  Offsets<O, A> second;
  ValueResult<T> result;

  struct State {
    Vec<A> sum;
  };
  CNNOPS_INLINE State start(Vec<A>) const { return State{}; }
  template <int>
  CNNOPS_INLINE void step(State& state, const Samples<A>& samples, int64_t tap, auto) const {
    const Ints<A> won = bit_cast<Ints<A>>(samples.second) == splat_int<A>(Int<A>(tap));
    state.sum += won ? samples.first : Vec<A>{};
  }
  CNNOPS_INLINE void finish(State&, Vec<A>) const {}
  CNNOPS_INLINE Vec<A> value(const State& state) const { return state.sum; }
};

// The sample at each window's offset: the adjoint of MaxBackward.
template <class T, class O>
struct MaxSelect : WindowOp<Accumulate<T>> {
  using A = Accumulate<T>;
  Values<T> first;
  Offsets<O, A> own;
  ValueResult<T> result;

  struct State {
    Ints<A> offset;
    Vec<A> selected;
  };
  CNNOPS_INLINE State start(Vec<A> offset) const { return {bit_cast<Ints<A>>(offset), Vec<A>{}}; }
  template <int>
  CNNOPS_INLINE void step(State& state, const Samples<A>& samples, int64_t tap, auto) const {
    state.selected = state.offset == splat_int<A>(Int<A>(tap)) ? samples.first : state.selected;
  }
  CNNOPS_INLINE void finish(State&, Vec<A>) const {}
  CNNOPS_INLINE Vec<A> value(const State& state) const { return state.selected; }
};

// The position of each window's first sample inside the map.
CNNOPS_INLINE void fill_first_taps(const Pool2dShape& shape, int32_t* map) {
  const WindowGrid grid = window_grid(shape);
  const auto first_tap = [](const WindowAxis& axis, int64_t i) {
    return inside(axis.kernel, axis.dilation, i * axis.stride - axis.padding, axis.input).first;
  };
  for (int64_t p = 0; p < shape.output.h; ++p) {
    for (int64_t q = 0; q < shape.output.w; ++q) {
      *map++ = int32_t(smaller(first_tap(grid.h, p), shape.kernel.h - 1) * shape.kernel.w +
                       smaller(first_tap(grid.w, q), shape.kernel.w - 1));
    }
  }
}

template <class T>
struct MaxPool2d {
  using A = Accumulate<T>;

  static Values<T> values(const MaxPool2dTensors& tensors, A outside) {
    return {static_cast<const T*>(tensors.values.data), tensors.values.stride, outside};
  }
  static ValueResult<T> result(const MaxPool2dTensors& tensors) {
    return {static_cast<T*>(tensors.result.data), tensors.result.stride};
  }
  template <class O>
  static Offsets<O, A> offsets(const MaxPool2dTensors& tensors) {
    return {static_cast<const O*>(tensors.offsets.data), tensors.offsets.stride};
  }

  static void forward(const Pool2dProblem& problem, const MaxPool2dTensors& tensors,
                      const Execution& execution) {
    const MaxForward<T> op{{}, values(tensors, -A(__builtin_inf())), result(tensors)};
    run_windows(forward_windows(problem.shape), op, problem.channels_last, execution);
  }

  template <class O>
  static void forward_with_offsets(const Pool2dProblem& problem, const MaxPool2dTensors& tensors,
                                   const Execution& execution) {
    Arena arena(execution.workspace);
    int32_t* first_taps = arena.take<int32_t>(problem.shape.output.h * problem.shape.output.w);
    fill_first_taps(problem.shape, first_taps);
    const MaxForwardWithOffsets<T, O> op{
        {},
        values(tensors, -A(__builtin_inf())),
        {first_taps, shared_map(problem.shape)},
        result(tensors),
        {static_cast<O*>(tensors.offsets.data), tensors.offsets.stride}};
    run_windows(forward_windows(problem.shape), op, problem.channels_last,
                beyond(execution, arena));
  }

  template <class O>
  static void backward(const Pool2dProblem& problem, const MaxPool2dTensors& tensors,
                       const Execution& execution) {
    const MaxBackward<T, O> op{{}, values(tensors, 0), offsets<O>(tensors), result(tensors)};
    run_windows(gradient_windows(problem.shape), op, problem.channels_last, execution);
  }

  template <class O>
  static void select(const Pool2dProblem& problem, const MaxPool2dTensors& tensors,
                     const Execution& execution) {
    const MaxSelect<T, O> op{{}, values(tensors, 0), offsets<O>(tensors), result(tensors)};
    run_windows(forward_windows(problem.shape), op, problem.channels_last, execution);
  }
};

}  // namespace cnnops::CNNOPS_TARGET
