// Max pooling: the maximum of a window, with the first of equal values winning and NaN winning over
// all, as torch's. Which position of the window won is kept as a small offset, by which its gradient
// finds the sample.
#pragma once

#include "pool2d_forward.h"
#include "pool2d_gradient.h"
#include "pool2d_max_pixels.h"
#include "pool2d_max_scatter.h"
#include "pool2d_max_shifts.h"

namespace cnnops::CNNOPS_TARGET {

// The first sweep looks for no NaN but in the sum of all samples, which is one if there is any. Infinities
// can make it one too, and cost a second sweep.
template <class Number>
struct MaxForward : PoolOp<Number> {
  using A = Number;
  static constexpr int kSweeps = 2;
  static constexpr A kBlank = -A(__builtin_inf());

  struct State {
    Vec<A> max, sum;
  };
  CNNOPS_INLINE State start(auto, Vec<A>) const {
    return {splat<A>(-A(__builtin_inf())), Vec<A>{}};
  }
  template <int kSweep>
  CNNOPS_INLINE void step(State& state, Vec<A> x, Vec<A>, int64_t) const {
    if constexpr (kSweep == 0) {
      state.max = x > state.max ? x : state.max;
      state.sum += x;
    } else {
      state.max = x != x ? x : state.max;
    }
  }
  CNNOPS_INLINE Ints<A> unsettled(const State& state) const { return state.sum != state.sum; }
  CNNOPS_INLINE Vec<A> value(const State& state, auto) const { return state.max; }
};

// Also writes the winner's position: that of the first sample inside the map, if all are -infinity.
template <class Number>
struct MaxForwardWithOffsets : PoolOp<Number> {
  using A = Number;
  static constexpr int kResults = 2, kSweeps = 2;
  static constexpr A kBlank = -A(__builtin_inf());

  struct Constants {
    Ints<A> first;
  };
  CNNOPS_INLINE Constants constants(int64_t, int64_t, int64_t tap) const {
    return {splat_int<A>(Int<A>(tap))};
  }
  struct State {
    Vec<A> max, sum;
    Ints<A> offset;
  };
  CNNOPS_INLINE State start(const Constants& constants, Vec<A>) const {
    return {splat<A>(-A(__builtin_inf())), Vec<A>{}, constants.first};
  }
  template <int kSweep>
  CNNOPS_INLINE void step(State& state, Vec<A> x, Vec<A>, int64_t tap) const {
    const Ints<A> here = splat_int<A>(Int<A>(tap));
    if constexpr (kSweep == 0) {
      state.offset = x > state.max ? here : state.offset;
      state.max = x > state.max ? x : state.max;
      state.sum += x;
    } else {
      state.offset = x != x ? here : state.offset;
      state.max = x != x ? x : state.max;
    }
  }
  CNNOPS_INLINE Ints<A> unsettled(const State& state) const { return state.sum != state.sum; }
  CNNOPS_INLINE Vec<A> value(const State& state, auto) const { return state.max; }
  CNNOPS_INLINE Vec<A> position(const State& state) const { return bit_cast<Vec<A>>(state.offset); }
};

// grad_input: the gradients of the windows that this sample won.
template <class Number>
struct MaxBackward : PoolOp<Number> {
  using A = Number;
  static constexpr int kSources = 2;

  struct State {
    Vec<A> sum;
  };
  CNNOPS_INLINE State start(auto, Vec<A>) const { return State{}; }
  template <int>
  CNNOPS_INLINE void step(State& state, Vec<A> grad_output, Vec<A> offset, auto tap) const {
    const Ints<A> won = bit_cast<Ints<A>>(offset) == in_lanes(tap);
    state.sum += bit_cast<Vec<A>>(bit_cast<Ints<A>>(grad_output) & won);
  }
  CNNOPS_INLINE Vec<A> value(const State& state, auto) const { return state.sum; }

 private:
  // A position that all lanes share, or one for each.
  CNNOPS_INLINE static Ints<A> in_lanes(int64_t tap) { return splat_int<A>(Int<A>(tap)); }
  CNNOPS_INLINE static Ints<A> in_lanes(Ints<A> taps) { return taps; }
};

// The sample at each window's offset: the adjoint of MaxBackward.
template <class Number>
struct MaxSelect : PoolOp<Number> {
  using A = Number;
  static constexpr bool kOwn = true;

  struct State {
    Ints<A> offset;
    Vec<A> selected;
  };
  CNNOPS_INLINE State start(auto, Vec<A> offset) const {
    return {bit_cast<Ints<A>>(offset), Vec<A>{}};
  }
  template <int>
  CNNOPS_INLINE void step(State& state, Vec<A> x, Vec<A>, int64_t tap) const {
    state.selected = state.offset == splat_int<A>(Int<A>(tap)) ? x : state.selected;
  }
  CNNOPS_INLINE Vec<A> value(const State& state, auto) const { return state.selected; }
};

template <class A>
struct MaxPool2d {
  static void forward(const Pool2dProblem& problem, const MaxPool2dTensors& tensors,
                      const Execution& execution) {
    PoolTensors<A> of{};
    of.source[0] = values<A>(problem, tensors.values);
    of.result[0] = values<A>(problem, tensors.result);
    pool_forward<A>(problem, MaxForward<A>{}, of, execution);
  }

  static void forward_with_offsets(const Pool2dProblem& problem, const MaxPool2dTensors& tensors,
                                   const Execution& execution) {
    PoolTensors<A> of{};
    of.source[0] = values<A>(problem, tensors.values);
    of.result[0] = values<A>(problem, tensors.result);
    of.result[1] = positions<A>(problem, tensors.offsets);
    has_small_window(problem.shape)
        ? pool_forward<uint8_t>(problem, MaxForwardWithOffsets<A>{}, of, execution)
        : pool_forward<int32_t>(problem, MaxForwardWithOffsets<A>{}, of, execution);
  }

  static void backward(const Pool2dProblem& problem, const MaxPool2dTensors& tensors,
                       const Execution& execution) {
    has_small_window(problem.shape) ? backward<uint8_t>(problem, tensors, execution)
                                    : backward<int32_t>(problem, tensors, execution);
  }

  static void select(const Pool2dProblem& problem, const MaxPool2dTensors& tensors,
                     const Execution& execution) {
    PoolTensors<A> of{};
    of.source[0] = values<A>(problem, tensors.values);
    of.own = positions<A>(problem, as_read(tensors.offsets));
    of.result[0] = values<A>(problem, tensors.result);
    pool(problem, PoolWindows::forward(problem.shape), MaxSelect<A>{}, of, execution);
  }

 private:
  template <class Offset>
  static void backward(const Pool2dProblem& problem, const MaxPool2dTensors& tensors,
                       const Execution& execution) {
    if (has_shifts(problem, tensors)) {
      return with_storage_of<A>(
          problem.dtype, [&]<class T>() { MaxShifts<T>(problem.shape, tensors).run(execution); });
    }
    if (has_pixels<A>(problem, tensors)) {
      return with_storage_of<A>(problem.dtype, [&]<class T>() {
        MaxPixels<T>(problem, tensors, execution.threads).run(execution);
      });
    }
    if (scatters(problem)) return MaxScatter<A, Offset>(problem, tensors).run(execution);
    PoolTensors<A> of{};
    of.source[0] = values<A>(problem, tensors.values);
    of.source[1] = positions<A>(problem, as_read(tensors.offsets));
    of.result[0] = values<A>(problem, tensors.result);
    pool_gradient<Offset>(problem, MaxBackward<A>{}, of, execution);
  }

  // So few are added up faster than a vector of joined samples is made.
  static constexpr int64_t kFewChannels = 3;

  // Without dilation every window has a sample inside the map. Long rows of windows, and those that
  // tile maps, have faster ways.
  static bool scatters(const Pool2dProblem& problem) {
    const Pool2dShape& shape = problem.shape;
    const bool is_half = problem.dtype == DType::kBFloat16 || problem.dtype == DType::kFloat16;
    const bool fills_vectors = problem.channels_last && shape.channels >= lanes<A>;
    const bool fills_rows =
        has_half_rows<A>(shape) && (has_pairs(problem) || has_halves<A>(problem));
    const bool fills_joined = has_joined_samples<A>(problem) && shape.channels > kFewChannels;
    return !fills_vectors && !is_half && !fills_rows && !has_small_tiles<A>(problem) &&
           !fills_joined && shape.dilation.h == 1 && shape.dilation.w == 1;
  }

  static ConstTensor as_read(const MutableTensor& tensor) { return {tensor.data, tensor.stride}; }
};

}  // namespace cnnops::CNNOPS_TARGET
