// Average pooling: the sum of a window divided by its size, and its adjoint.
#pragma once

#include "pool2d_window.cuh"

namespace cnnops::cuda {

// Samples of window i along an axis, with or without the padding. What ceil_mode lets hang over the
// padded end never counts.
inline __device__ int counted_samples(const Pool2dAxis& axis, int64_t i, bool count_include_pad) {
  const int64_t start = i * axis.stride.divisor - axis.padding;
  const int64_t margin = count_include_pad ? axis.padding : 0;
  return static_cast<int>(
      max(int64_t(0), min(start + axis.kernel, axis.input + margin) - max(start, -margin)));
}

template <class A>
__device__ A window_size(const Pool2dParams& params, int64_t h, int64_t w, bool count_include_pad) {
  return static_cast<A>(counted_samples(params.h, h, count_include_pad)) *
         static_cast<A>(counted_samples(params.w, w, count_include_pad));
}

// What the window at (h, w) of the output is divided by.
template <class A>
__device__ A divisor_of(const Pool2dParams& params, int64_t h, int64_t w) {
  if (params.divisor_override != 0) return static_cast<A>(params.divisor_override);
  return window_size<A>(params, h, w, params.count_include_pad);
}

template <class T>
struct AvgForward : ForwardOp<T> {
  using A = Accumulate<T>;
  struct State {
    A sum;
  };
  A divisor;

  __device__ AvgForward(const Pool2dParams& params, const Position& at, const Walk&, const Walk&)
      : divisor(divisor_of<A>(params, at.h, at.w)) {}

  __device__ State start(None) const { return {0}; }
  template <int>
  __device__ void step(State& state, A x, None, None) const {
    state.sum += x;
  }
  __device__ A value(const State& state) const { return state.sum / divisor; }
};

// grad_input: grad_output / divisor, summed over the windows that cover a sample.
template <class T>
struct AvgBackward : GradientOp<T> {
  using A = Accumulate<T>;
  struct State {
    A sum;
  };
  const Pool2dParams& params;

  __device__ AvgBackward(const Pool2dParams& all, const Position&, const Walk&, const Walk&)
      : params(all) {}

  __device__ State start(None) const { return {0}; }
  __device__ A at_tap(const Tap& tap) const { return divisor_of<A>(params, tap.h, tap.w); }
  template <int>
  __device__ void step(State& state, A grad, None, A divisor) const {
    state.sum += grad / divisor;
  }
  __device__ A value(const State& state) const { return state.sum; }
};

}  // namespace cnnops::cuda
