// Max pooling: the maximum of a window, with the first of equal values winning and NaN winning over
// all, as torch's. Which position of the window won is kept as a small offset: its gradient is
// gathered through the offsets, so that nothing is scattered.
#pragma once

#include "pool2d_window.cuh"

namespace cnnops::cuda {

template <class A>
__device__ A negative_infinity() {
  return -static_cast<A>(__builtin_inf());
}

// Larger, or NaN; a NaN that is already there stays, since it compares false with everything.
template <class A>
__device__ bool wins(A x, A max) {
  return x > max || x != x;
}

template <class T>
struct MaxForward : ForwardOp<T> {
  using A = Accumulate<T>;
  struct State {
    A max;
  };
  __device__ MaxForward(const Pool2dParams&, const Position&, const Walk&, const Walk&) {}

  __device__ State start(None) const { return {negative_infinity<A>()}; }
  template <int>
  __device__ void step(State& state, A x, None, None) const {
    if (wins(x, state.max)) state.max = x;
  }
  __device__ A value(const State& state) const { return state.max; }
};

// Also writes the position of the winner: that of the first sample for windows all at -infinity.
template <class T, class O>
struct MaxForwardWithOffsets : ForwardOp<T> {
  using A = Accumulate<T>;
  using Extra = O;
  struct State {
    A max;
    int offset;
  };
  int first_tap;

  __device__ MaxForwardWithOffsets(const Pool2dParams& params, const Position&, const Walk& rows,
                                   const Walk& columns)
      : first_tap(rows.tap * static_cast<int>(params.w.kernel) + columns.tap) {}

  __device__ State start(None) const { return {negative_infinity<A>(), first_tap}; }
  __device__ int at_tap(const Tap& tap) const { return tap.index; }
  template <int>
  __device__ void step(State& state, A x, None, int tap) const {
    if (wins(x, state.max)) state = {x, tap};
  }
  __device__ A value(const State& state) const { return state.max; }
  __device__ int more(const State& state) const { return state.offset; }
};

// grad_input: the gradients of the windows that this sample won.
template <class T, class O>
struct MaxBackward : GradientOp<T> {
  using A = Accumulate<T>;
  using Second = O;
  struct State {
    A sum;
  };
  __device__ MaxBackward(const Pool2dParams&, const Position&, const Walk&, const Walk&) {}

  __device__ State start(None) const { return {0}; }
  __device__ int at_tap(const Tap& tap) const { return tap.index; }
  template <int>
  __device__ void step(State& state, A grad, int offset, int tap) const {
    state.sum += offset == tap ? grad : A(0);
  }
  __device__ A value(const State& state) const { return state.sum; }
};

// Of one result a thread, in either memory format.
inline __device__ Place place_of(const Pool2dParams& params, int64_t index) {
  return params.channels_last ? place_in_channels(params, index, 1)
                              : place_in_rows(params, index, 1);
}

// Row and column, in the input, of position `offset` of the window at (h, w).
inline __device__ Position winner(const Pool2dParams& params, const Position& at, int offset) {
  const int columns = static_cast<int>(params.w.kernel);
  const int r = offset / columns, s = offset % columns;
  return {at.n, at.c,
          at.h * params.h.stride.divisor - params.h.padding + r * params.h.dilation.divisor,
          at.w * params.w.stride.divisor - params.w.padding + s * params.w.dilation.divisor};
}

// The sample at each window's offset, the adjoint of MaxBackward; 0 for an offset without a sample.
template <class T, class O>
__global__ __launch_bounds__(kPool2dThreads, kPool2dBlocks) void max_pool2d_select(
    const __grid_constant__ Pool2dParams params) {
  const int64_t index = thread_index();
  if (index >= params.threads) return;
  const Place place = place_of(params, index);
  const int offset =
      load_own<O>(params.own.data, params.own.stride, place.at, ChannelVector<1>{}).lane[0];
  const Position from = winner(params, place.at, offset);
  T selected{};
  if (offset >= 0 && offset < params.h.kernel * params.w.kernel && from.h >= 0 &&
      from.h < params.h.input && from.w >= 0 && from.w < params.w.input)
    selected =
        load_own<T>(params.first.data, params.first.stride, from, ChannelVector<1>{}).lane[0];
  static_cast<T*>(params.result)[place.element] = selected;
}

// The index h * W + w in the input of each window's offset.
template <class O>
__global__ __launch_bounds__(kPool2dThreads, kPool2dBlocks) void max_pool2d_indices(
    const __grid_constant__ Pool2dParams params) {
  const int64_t index = thread_index();
  if (index >= params.threads) return;
  const Place place = place_of(params, index);
  const int offset =
      load_own<O>(params.own.data, params.own.stride, place.at, ChannelVector<1>{}).lane[0];
  const Position from = winner(params, place.at, offset);
  static_cast<int64_t*>(params.result)[place.element] = from.h * params.w.input + from.w;
}

}  // namespace cnnops::cuda
