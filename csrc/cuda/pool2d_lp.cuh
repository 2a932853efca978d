// Lp pooling, y = (f * sum x^p)^(1/p), and its gradient, f * (x / y)^(p - 1) a window. f is 1, or
// what torch's rule makes of a window that ceil_mode lets hang over the end: the size of the kernel
// over the size of the window.
//
// Powers are of x scaled by about the window's largest magnitude, and the gradient needs only x /
// y: neither overflows nor underflows where the result itself does not. A window of zeros has y =
// 0, and gradient 0.
#pragma once

#include "pool2d_avg.cuh"

namespace cnnops::cuda {

template <class A>
__device__ A smallest_normal() {
  return sizeof(A) == 4 ? A(__FLT_MIN__) : A(__DBL_MIN__);
}

// x^p, x^(p - 1) and s^(1/p), and what to divide x by first. Signs are torch's: odd powers keep
// them, and a root of a negative sum is NaN.
struct FirstPower {
  static constexpr int kSweeps = 1;
  static constexpr bool kOneChannel = false;
  __device__ explicit FirstPower(const Pool2dExponents&) {}

  template <class A>
  __device__ A power(A x) const {
    return x;
  }
  template <class A>
  __device__ A power_less_one(A) const {
    return 1;
  }
  template <class A>
  __device__ A root(A sum) const {
    return sum;
  }
};

struct SecondPower {
  static constexpr int kSweeps = 2;
  static constexpr bool kOneChannel = false;
  __device__ explicit SecondPower(const Pool2dExponents&) {}

  // A power of two, so that scaling rounds nothing; its reciprocal is normal.
  __device__ float scale(float largest) const {
    return min(__int_as_float(__float_as_int(largest) & 0x7f800000), 1 / smallest_normal<float>());
  }
  __device__ double scale(double largest) const {
    return min(__longlong_as_double(__double_as_longlong(largest) & 0x7ff0000000000000),
               1 / smallest_normal<double>());
  }
  template <class A>
  __device__ A power(A x) const {
    return x * x;
  }
  template <class A>
  __device__ A power_less_one(A x) const {
    return x;
  }
  __device__ float root(float sum) const { return __fsqrt_rn(sum); }
  __device__ double root(double sum) const { return __dsqrt_rn(sum); }
};

struct AnyPower {
  static constexpr int kSweeps = 2;
  static constexpr bool kOneChannel = true;  // a thread, for the code of a power is long
  const Pool2dExponents& exponents;
  __device__ explicit AnyPower(const Pool2dExponents& given) : exponents(given) {}

  static __device__ float raise(float x, double exponent) {
    return powf(x, static_cast<float>(exponent));
  }
  static __device__ double raise(double x, double exponent) { return pow(x, exponent); }

  template <class A>
  __device__ A scale(A largest) const {
    return exponents.power > 0 ? largest : A(1);
  }
  template <class A>
  __device__ A power(A x) const {
    return raise(x, exponents.power);
  }
  template <class A>
  __device__ A power_less_one(A x) const {
    return raise(x, exponents.less_one);
  }
  template <class A>
  __device__ A root(A sum) const {
    return raise(sum, exponents.root);
  }
};

// f of the window at (h, w) of the output.
template <class A>
__device__ A factor_of(const Pool2dParams& params, int64_t h, int64_t w) {
  return static_cast<A>(static_cast<int>(params.h.kernel)) *
         static_cast<A>(static_cast<int>(params.w.kernel)) / window_size<A>(params, h, w, true);
}

template <class T, class Power>
struct LPForward : ForwardOp<T> {
  using A = Accumulate<T>;
  static constexpr int kSweeps = Power::kSweeps;
  static constexpr int kPlanes = Power::kOneChannel ? 1 : WindowOp<T>::kPlanes;
  struct State {
    A scale, inverse, sum;
  };
  Power power;
  A factor;

  __device__ LPForward(const Pool2dParams& params, const Position& at, const Walk&, const Walk&)
      : power(params.exponents), factor(factor_of<A>(params, at.h, at.w)) {}

  // One sweep takes the samples as they are; two find the largest magnitude first.
  __device__ State start(None) const { return {A(kSweeps == 1), A(kSweeps == 1), 0}; }
  template <int sweep>
  __device__ void step(State& state, A x, None, None) const {
    if constexpr (sweep + 1 < kSweeps) {
      const A magnitude = abs(x);
      state.scale = magnitude > state.scale ? magnitude : state.scale;
    } else {
      state.sum += power.power(x * state.inverse);
    }
  }
  __device__ void turn(State& state) const {
    // Beside an infinite sample scaling is pointless, and would turn it into a NaN.
    const A largest = max(state.scale, smallest_normal<A>());
    state.scale = largest == static_cast<A>(__builtin_inf()) ? A(1) : power.scale(largest);
    state.inverse = 1 / state.scale;
  }
  __device__ A value(const State& state) const {
    return power.root(state.sum * factor) * state.scale;
  }
};

// First: grad_output, Second: output, Own: input.
template <class T, class Power>
struct LPBackward : GradientOp<T> {
  using A = Accumulate<T>;
  using Second = T;
  using Own = T;
  static constexpr int kPlanes = Power::kOneChannel ? 1 : WindowOp<T>::kPlanes;
  struct State {
    A x, sum;
  };
  Power power;
  const Pool2dParams& params;

  __device__ LPBackward(const Pool2dParams& all, const Position&, const Walk&, const Walk&)
      : power(all.exponents), params(all) {}

  __device__ State start(A x) const { return {x, 0}; }
  __device__ A at_tap(const Tap& tap) const { return factor_of<A>(params, tap.h, tap.w); }
  template <int>
  __device__ void step(State& state, A grad, A y, A factor) const {
    if (y != 0) state.sum += grad * factor * power.power_less_one(state.x / y);
  }
  __device__ A value(const State& state) const { return state.sum; }
};

}  // namespace cnnops::cuda
