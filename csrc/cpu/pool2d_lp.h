// Lp pooling, y = (f * sum x^p)^(1/p), and its gradient, f * (x / y)^(p - 1) a window. f is 1, or
// what torch's rule makes of a window that ceil_mode lets hang over the end: the size of the kernel
// over the size of the window.
//
// Powers are of x scaled by about the window's largest magnitude, and the gradient needs only x /
// y: neither overflows nor underflows where the result itself does not. A window of zeros has y =
// 0, and gradient 0.
#pragma once

#include "pool2d_avg.h"

namespace cnnops::CNNOPS_TARGET {

template <class A>
inline constexpr A kSmallestNormal = sizeof(A) == 4 ? A(__FLT_MIN__) : A(__DBL_MIN__);

// x^p, x^(p - 1) and s^(1/p), and what to divide x by first. Signs are torch's: odd powers keep
// them, and a root of a negative sum is NaN.
struct FirstPower {
  template <class A>
  CNNOPS_INLINE Vec<A> scale(Vec<A>) const {
    return splat<A>(1);
  }
  template <class A>
  CNNOPS_INLINE Vec<A> power(Vec<A> x) const {
    return x;
  }
  template <class A>
  CNNOPS_INLINE Vec<A> power_less_one(Vec<A>) const {
    return splat<A>(1);
  }
  template <class A>
  CNNOPS_INLINE Vec<A> root(Vec<A> sum) const {
    return sum;
  }
};

struct SecondPower {
  // A power of two, so that scaling rounds nothing; its reciprocal is normal.
  template <class A>
  CNNOPS_INLINE Vec<A> scale(Vec<A> largest) const {
    constexpr Int<A> kExponent = sizeof(A) == 4 ? Int<A>(0x7f800000) : Int<A>(0x7ff0000000000000);
    const Vec<A> most = splat<A>(1 / kSmallestNormal<A>);
    const Vec<A> power = bit_cast<Vec<A>>(bit_cast<Ints<A>>(largest) & kExponent);
    return power < most ? power : most;
  }
  template <class A>
  CNNOPS_INLINE Vec<A> power(Vec<A> x) const {
    return x * x;
  }
  template <class A>
  CNNOPS_INLINE Vec<A> power_less_one(Vec<A> x) const {
    return x;
  }
  template <class A>
  CNNOPS_INLINE Vec<A> root(Vec<A> sum) const {
    Vec<A> result{};
    for (int64_t i = 0; i < lanes<A>; ++i) {
      result[i] =
          sizeof(A) == 4 ? A(__builtin_sqrtf(float(sum[i]))) : A(__builtin_sqrt(double(sum[i])));
    }
    return result;
  }
};

struct AnyPower {
  double p;

  template <class A>
  CNNOPS_INLINE Vec<A> scale(Vec<A> largest) const {
    return p > 0 ? largest : splat<A>(1);
  }
  template <class A>
  static Vec<A> raise(Vec<A> x, double exponent) {
    Vec<A> result{};
    for (int64_t i = 0; i < lanes<A>; ++i) {
      result[i] = sizeof(A) == 4 ? A(__builtin_powf(float(x[i]), float(exponent)))
                                 : A(__builtin_pow(x[i], exponent));
    }
    return result;
  }
  template <class A>
  CNNOPS_INLINE Vec<A> power(Vec<A> x) const {
    return raise<A>(x, p);
  }
  template <class A>
  CNNOPS_INLINE Vec<A> power_less_one(Vec<A> x) const {
    return raise<A>(x, p - 1);
  }
  template <class A>
  CNNOPS_INLINE Vec<A> root(Vec<A> sum) const {
    return raise<A>(sum, 1 / p);
  }
};

template <class T, class Power>
struct LPForward : WindowOp<Accumulate<T>> {
  using A = Accumulate<T>;
  static constexpr int kSweeps = 2;
  Values<T> first;
  Values<A> own;  // f
  ValueResult<T> result;
  Power power;

  struct State {
    Vec<A> scale, inverse, sum;
  };
  CNNOPS_INLINE State start(Vec<A>) const { return State{}; }
  template <int kSweep>
  CNNOPS_INLINE void step(State& state, const Samples<A>& samples, int64_t, auto) const {
    if constexpr (kSweep == 0) {
      const Vec<A> magnitude = absolute<A>(samples.first);
      state.scale = magnitude > state.scale ? magnitude : state.scale;
    } else {
      state.sum += power.template power<A>(samples.first * state.inverse);
    }
  }
  CNNOPS_INLINE void turn(State& state) const {
    // Beside an infinite sample scaling is pointless, and would turn it into a NaN.
    const Vec<A> least = splat<A>(kSmallestNormal<A>);
    const Vec<A> largest = state.scale < least ? least : state.scale;
    state.scale =
        largest == splat<A>(A(__builtin_inf())) ? splat<A>(1) : power.template scale<A>(largest);
    state.inverse = 1 / state.scale;
  }
  CNNOPS_INLINE void finish(State& state, Vec<A> f) const {
    state.sum = power.template root<A>(state.sum * f) * state.scale;
  }
  CNNOPS_INLINE Vec<A> value(const State& state) const { return state.sum; }
};

template <class T, class Power>
struct LPBackward : WindowOp<Accumulate<T>> {
  using A = Accumulate<T>;
  static constexpr int kOperands = 3;
  Values<T> first;   // grad_output
  Values<T> second;  // output
  Values<A> third;   // f
  Values<T> own;     // input
  ValueResult<T> result;
  Power power;

  struct State {
    Vec<A> x, sum;
  };
  CNNOPS_INLINE State start(Vec<A> x) const { return {x, Vec<A>{}}; }
  template <int>
  CNNOPS_INLINE void step(State& state, const Samples<A>& samples, int64_t, auto) const {
    const Vec<A> y = samples.second;
    const Vec<A> slope = power.template power_less_one<A>(state.x / y);
    state.sum += y != 0 ? samples.first * samples.third * slope : Vec<A>{};
  }
  CNNOPS_INLINE void finish(State&, Vec<A>) const {}
  CNNOPS_INLINE Vec<A> value(const State& state) const { return state.sum; }
};

template <class T>
struct LPPool2d {
  using A = Accumulate<T>;

  // f of every window: kernel size over window size, padding counted.
  static A* fill_factors(const Pool2dShape& shape, Arena& arena) {
    const int64_t count = shape.output.h * shape.output.w;
    A* factors = arena.take<A>(count);
    AvgPool2dTensors rule{};
    rule.count_include_pad = true;
    fill_divisors(shape, rule, factors);
    for (int64_t i = 0; i < count; ++i)
      factors[i] = A(shape.kernel.h) * A(shape.kernel.w) / factors[i];
    return factors;
  }

  static Values<T> values(const ConstTensor& tensor, A outside) {
    return {static_cast<const T*>(tensor.data), tensor.stride, outside};
  }

  // A sample that adds nothing to a sum of powers.
  static A neutral(double norm_type) { return norm_type > 0 ? A(0) : A(__builtin_inf()); }

  template <class Power>
  static void forward_with(const Power& power, const Pool2dProblem& problem,
                           const LPPool2dTensors& tensors, const Execution& execution) {
    Arena arena(execution.workspace);
    const LPForward<T, Power> op{{},
                                 values(tensors.input, neutral(tensors.norm_type)),
                                 {fill_factors(problem.shape, arena), shared_map(problem.shape), 1},
                                 {static_cast<T*>(tensors.result.data), tensors.result.stride},
                                 power};
    run_windows(forward_windows(problem.shape), op, problem.channels_last,
                beyond(execution, arena));
  }

  template <class Power>
  static void backward_with(const Power& power, const Pool2dProblem& problem,
                            const LPPool2dTensors& tensors, const Execution& execution) {
    Arena arena(execution.workspace);
    const LPBackward<T, Power> op{
        {},
        values(tensors.grad_output, 0),
        values(tensors.output, 0),
        {fill_factors(problem.shape, arena), shared_map(problem.shape), 1},
        values(tensors.input, 0),
        {static_cast<T*>(tensors.result.data), tensors.result.stride},
        power};
    run_windows(gradient_windows(problem.shape), op, problem.channels_last,
                beyond(execution, arena));
  }

  static void forward(const Pool2dProblem& problem, const LPPool2dTensors& tensors,
                      const Execution& execution) {
    if (tensors.norm_type == 1) return forward_with(FirstPower{}, problem, tensors, execution);
    if (tensors.norm_type == 2) return forward_with(SecondPower{}, problem, tensors, execution);
    forward_with(AnyPower{tensors.norm_type}, problem, tensors, execution);
  }
  static void backward(const Pool2dProblem& problem, const LPPool2dTensors& tensors,
                       const Execution& execution) {
    if (tensors.norm_type == 1) return backward_with(FirstPower{}, problem, tensors, execution);
    if (tensors.norm_type == 2) return backward_with(SecondPower{}, problem, tensors, execution);
    backward_with(AnyPower{tensors.norm_type}, problem, tensors, execution);
  }
};

}  // namespace cnnops::CNNOPS_TARGET
