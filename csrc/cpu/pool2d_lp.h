// Lp pooling, y = (f * sum x^p)^(1/p), and its gradient, f * (x / y)^(p - 1) a window. f is 1, or
// what torch's rule makes of a window that ceil_mode lets hang over the end: the size of the kernel
// over the size of the window.
//
// Neither overflows nor underflows where the result itself does not. A window of zeros has y = 0,
// and gradient 0. Signs are torch's: odd powers keep them, and a root of a negative sum is NaN.
#pragma once

#include "pool2d_avg.h"

namespace cnnops::CNNOPS_TARGET {

// 2^exponent, a normal number.
template <class A>
constexpr A power_of_two(int exponent) {
  if constexpr (sizeof(A) == 4) {
    return __builtin_bit_cast(float, int32_t(exponent + 127) << 23);
  } else {
    return __builtin_bit_cast(double, int64_t(exponent + 1023) << 52);
  }
}

template <class A>
inline constexpr A kSmallestNormal = sizeof(A) == 4 ? A(__FLT_MIN__) : A(__DBL_MIN__);
template <class A>
inline constexpr A kInfinity = A(__builtin_inf());

// f of the window of output (row, column).
template <class A>
struct OverhangFactors {
  WindowGrid grid;

  CNNOPS_INLINE A at(int64_t row, int64_t column) const {
    return A(grid.h.kernel) * A(grid.w.kernel) /
           (A(padded_window_samples(grid.h, row)) * A(padded_window_samples(grid.w, column)));
  }
};

template <class Number>
struct LPOp : PoolOp<Number> {
  OverhangFactors<Number> factors;
};

// Of all poolings: f of a run of windows.
template <class Number>
struct LPForwardOp : LPOp<Number> {
  using A = Number;
  struct Constants {
    Vec<A> f;
  };
  CNNOPS_INLINE Constants constants(int64_t row, int64_t column, int64_t) const {
    return {splat<A>(this->factors.at(row, column))};
  }
};

template <class A>
struct L1Forward : LPForwardOp<A> {
  using Constants = typename LPForwardOp<A>::Constants;
  struct State {
    Vec<A> sum;
  };
  CNNOPS_INLINE State start(auto, Vec<A>) const { return State{}; }
  template <int>
  CNNOPS_INLINE void step(State& state, Vec<A> x, Vec<A>, int64_t) const {
    state.sum += x;
  }
  CNNOPS_INLINE Vec<A> value(const State& state, const Constants& constants) const {
    return state.sum * constants.f;
  }
};

// The second sweep is for sums of squares beyond the safe range, of samples scaled into it.
template <class A>
struct L2Forward : LPForwardOp<A> {
  using Constants = typename LPForwardOp<A>::Constants;
  static constexpr int kSweeps = 2;
  // In between, no square that matters is lost, and no factor f takes a sum out of range.
  static constexpr A kLeast = power_of_two<A>(sizeof(A) == 4 ? -90 : -800);
  static constexpr A kMost = power_of_two<A>(sizeof(A) == 4 ? 80 : 800);
  static constexpr A kUp = power_of_two<A>(sizeof(A) == 4 ? 100 : 650);
  static constexpr A kDown = power_of_two<A>(sizeof(A) == 4 ? -70 : -650);

  struct State {
    Vec<A> sum, scaled_sum;
    Ints<A> bits;  // of all samples
  };
  CNNOPS_INLINE State start(auto, Vec<A>) const { return State{}; }
  template <int kSweep>
  CNNOPS_INLINE void step(State& state, Vec<A> x, Vec<A>, int64_t) const {
    if constexpr (kSweep == 0) {
      state.sum = multiply_add<A>(x, x, state.sum);
      state.bits |= bit_cast<Ints<A>>(x);
    } else {
      const Vec<A> scaled = x * scale(state);
      state.scaled_sum = multiply_add<A>(scaled, scaled, state.scaled_sum);
    }
  }
  // Sums outside the range, but for those of zeros.
  CNNOPS_INLINE Ints<A> unsettled(const State& state) const {
    const Ints<A> safe = (state.sum >= splat<A>(kLeast)) & (state.sum <= splat<A>(kMost));
    return ~safe & (bit_cast<Ints<A>>(absolute<A>(bit_cast<Vec<A>>(state.bits))) != 0);
  }
  CNNOPS_INLINE Vec<A> value(const State& state, const Constants& constants) const {
    const Vec<A> safe = square_root<A>(state.sum * constants.f);
    const Ints<A> beyond = unsettled(state);
    if (!any<A>(beyond)) return safe;
    const Vec<A> scaled = square_root<A>(state.scaled_sum * constants.f) / scale(state);
    return beyond ? scaled : safe;
  }

 private:
  static Vec<A> scale(const State& state) {
    return state.sum < splat<A>(kLeast) ? splat<A>(kUp) : splat<A>(kDown);
  }
};

// Samples are divided by the window's largest magnitude before they are raised to the power. With p
// < 0 the least matters most, and nothing is scaled.
template <class A>
struct AnyPowerForward : LPForwardOp<A> {
  using Constants = typename LPForwardOp<A>::Constants;
  static constexpr int kSweeps = 2;
  static constexpr bool kHasBlank = false;
  double p;

  struct State {
    Vec<A> largest, sum;
  };
  CNNOPS_INLINE State start(auto, Vec<A>) const { return State{}; }
  template <int kSweep>
  CNNOPS_INLINE void step(State& state, Vec<A> x, Vec<A>, int64_t) const {
    if constexpr (kSweep == 0) {
      const Vec<A> magnitude = absolute<A>(x);
      state.largest = magnitude > state.largest ? magnitude : state.largest;
    } else {
      state.sum += raise<A>(x / scale(state), p);
    }
  }
  CNNOPS_INLINE Ints<A> unsettled(const State&) const { return splat_int<A>(-1); }
  CNNOPS_INLINE Vec<A> value(const State& state, const Constants& constants) const {
    return raise<A>(state.sum * constants.f, 1 / p) * scale(state);
  }

 private:
  // Beside an infinite sample scaling is pointless, and would turn it into a NaN.
  CNNOPS_INLINE Vec<A> scale(const State& state) const {
    const Vec<A> least = splat<A>(kSmallestNormal<A>), one = splat<A>(1);
    const Vec<A> largest = state.largest < least ? least : state.largest;
    return p > 0 ? (largest == splat<A>(kInfinity<A>) ? one : largest) : one;
  }
};

// Sources are grad_output and output; the sample's own value is that of the input.
template <class Number>
struct LPBackwardOp : LPOp<Number> {
  using A = Number;
  static constexpr int kSources = 2;
  static constexpr bool kOwn = true, kPrepares = true;

  CNNOPS_INLINE Vec<A> preparation(int64_t row, int64_t column) const {
    return splat<A>(this->factors.at(row, column));
  }
  struct State {
    Vec<A> x, sum;
  };
  CNNOPS_INLINE State start(auto, Vec<A> x) const { return {x, Vec<A>{}}; }
  CNNOPS_INLINE Vec<A> value(const State& state, auto) const { return state.sum; }
};

template <class A>
struct L1Backward : LPBackwardOp<A> {
  using State = typename LPBackwardOp<A>::State;

  CNNOPS_INLINE void prepare(Vec<A>& grad_output, Vec<A>& y, Vec<A> f) const {
    grad_output = y != 0 ? grad_output * f : Vec<A>{};
  }
  template <int>
  CNNOPS_INLINE void step(State& state, Vec<A> share, Vec<A>, auto) const {
    state.sum += share;
  }
};

// g f (x / y) as (x s) (g f / (y s)): one division a window. The power of two s takes y s to [2, 4),
// so that neither factor leaves the range where the product does not.
template <class A>
struct L2Backward : LPBackwardOp<A> {
  using State = typename LPBackwardOp<A>::State;

  CNNOPS_INLINE void prepare(Vec<A>& grad_output, Vec<A>& y, Vec<A> f) const {
    constexpr int kMantissa = sizeof(A) == 4 ? 23 : 52;
    constexpr Int<A> kExponents = sizeof(A) == 4 ? 255 : 2047;
    const Ints<A> exponent = (bit_cast<Ints<A>>(y) >> kMantissa) & kExponents;
    const Ints<A> least = exponent < 1 ? splat_int<A>(1) : exponent;
    const Ints<A> inside = least >= kExponents ? splat_int<A>(kExponents - 1) : least;
    const Vec<A> scale = bit_cast<Vec<A>>((kExponents - inside) << kMantissa);
    grad_output = y != 0 ? grad_output * f / (y * scale) : Vec<A>{};
    y = scale;
  }
  template <int>
  CNNOPS_INLINE void step(State& state, Vec<A> share, Vec<A> scale, auto) const {
    state.sum = multiply_add<A>(state.x * scale, share, state.sum);
  }
};

template <class A>
struct AnyPowerBackward : LPBackwardOp<A> {
  using State = typename LPBackwardOp<A>::State;
  double p;

  CNNOPS_INLINE void prepare(Vec<A>& grad_output, Vec<A>&, Vec<A> f) const { grad_output *= f; }
  template <int>
  CNNOPS_INLINE void step(State& state, Vec<A> share, Vec<A> y, auto) const {
    const Vec<A> slope = raise<A>(state.x / y, p - 1);
    state.sum += y != 0 ? share * slope : Vec<A>{};
  }
};

template <class A>
struct LPPool2d {
  static void forward(const Pool2dProblem& problem, const LPPool2dTensors& tensors,
                      const Execution& execution) {
    PoolTensors<A> of{};
    of.source[0] = values<A>(problem, tensors.input);
    of.result[0] = values<A>(problem, tensors.result);
    const LPForwardOp<A> base{factors(problem)};
    if (tensors.norm_type == 1) return pool_forward<A>(problem, L1Forward<A>{base}, of, execution);
    if (tensors.norm_type == 2) return pool_forward<A>(problem, L2Forward<A>{base}, of, execution);
    pool_forward<A>(problem, AnyPowerForward<A>{base, tensors.norm_type}, of, execution);
  }

  static void backward(const Pool2dProblem& problem, const LPPool2dTensors& tensors,
                       const Execution& execution) {
    PoolTensors<A> of{};
    of.source[0] = values<A>(problem, tensors.grad_output);
    of.source[1] = values<A>(problem, tensors.output);
    of.own = values<A>(problem, tensors.input);
    of.result[0] = values<A>(problem, tensors.result);
    const LPBackwardOp<A> base{factors(problem)};
    if (tensors.norm_type == 1)
      return pool_gradient<void>(problem, L1Backward<A>{base}, of, execution);
    if (tensors.norm_type == 2)
      return pool_gradient<void>(problem, L2Backward<A>{base}, of, execution);
    pool_gradient<void>(problem, AnyPowerBackward<A>{base, tensors.norm_type}, of, execution);
  }

 private:
  static LPOp<A> factors(const Pool2dProblem& problem) {
    return {{}, {window_grid(problem.shape)}};
  }
};

}  // namespace cnnops::CNNOPS_TARGET
