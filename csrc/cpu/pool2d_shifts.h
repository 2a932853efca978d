// Poolings by windows one sample apart that leave small dense NCHW maps their size: sample and window of
// the same index lie in the same place, so that each tap of a window is one distance from windows to
// samples, through all maps as if they were one. Bits tell in which lanes it leads to a sample of the map;
// over the edge a blank takes its place, which changes no fold.
//
// Windows of the same size on both sides of their sample are their own mirror image: gradients, folds over
// the windows that cover a sample, have the same distances in the same order.
#pragma once

#include "pool2d_lanes.h"
#include "pool2d_pairs.h"
#include "shifts.h"

namespace cnnops::CNNOPS_TARGET {

// Taps that have distances, and vectors of a map that have bits.
inline constexpr int64_t kMostShifts = 25, kMostShiftedVectors = 128;

// Whether windows lie one sample apart, and are as many as samples.
inline bool keeps_size(const Pool2dShape& shape) {
  return shape.stride.h == 1 && shape.stride.w == 1 && shape.output.h == shape.input.h &&
         shape.output.w == shape.input.w;
}

// What a functor wants to know of every window of a map.
template <class Op>
class ShiftedWindows {
 public:
  using A = typename Op::A;
  using Constants = typename Op::Constants;

  ShiftedWindows(const Op& op, const Pool2dShape& shape) {
    if constexpr (!kEmpty) {
      const WindowGrid grid = window_grid(shape);
      for (int64_t i = 0; i < shape.output.h * shape.output.w; ++i)
        values_[i] = value(op, grid, i / shape.output.w, i % shape.output.w);
    }
  }

  CNNOPS_INLINE Constants constants(int64_t window) const {
    if constexpr (std::is_empty_v<Constants>) {
      return {};
    } else {
      return bit_cast<Constants>(load(values_ + window));
    }
  }
  CNNOPS_INLINE Vec<A> preparation(int64_t window) const { return load(values_ + window); }

 private:
  static constexpr bool kEmpty = std::is_empty_v<Constants> && !Op::kPrepares;

  static A value(const Op& op, const WindowGrid& grid, int64_t row, int64_t column) {
    if constexpr (Op::kPrepares) {
      return op.preparation(row, column)[0];
    } else {
      const int64_t tap = first_tap(grid.h, row) * grid.w.kernel + first_tap(grid.w, column);
      return bit_cast<Vec<A>>(op.constants(row, column, tap))[0];
    }
  }
  // The first tap of a window that lies in the map.
  static int64_t first_tap(const WindowAxis& of, int64_t window) {
    return window < of.padding ? divide_up(of.padding - window, of.dilation) : 0;
  }

  A values_[kEmpty ? 1 : kMostShiftedVectors * lanes<A>];
};

// Runs a functor of pool2d_fold.h that has one source. T stores its values, Second its second result, if it
// has one.
template <class Op, class T, class Second>
class PoolShifts {
 public:
  using A = typename Op::A;

  static bool supports(const Pool2dProblem& problem, const PoolTensors<A>& tensors) {
    const Pool2dShape& shape = problem.shape;
    const int64_t samples = shape.input.h * shape.input.w;
    return Op::kHasBlank && !problem.channels_last && keeps_size(shape) &&
           shape.kernel.h * shape.kernel.w <= kMostShifts && 2 * samples >= lanes<A> &&
           samples <= kMostShiftedVectors * lanes<A> &&
           shape.padding.h * shape.input.w + shape.padding.w <= samples &&
           is_dense(tensors.source[0].stride, shape.channels, shape.input);
  }

  PoolShifts(const Pool2dProblem& problem, const Op& op, const PoolTensors<A>& tensors)
      : op_(op),
        shifts_(window_grid(problem.shape)),
        windows_(op, problem.shape),
        maps_(problem.shape.batch * problem.shape.channels),
        size_(problem.shape.input.h * problem.shape.input.w),
        source_(static_cast<const T*>(tensors.source[0].data)),
        first_(static_cast<T*>(tensors.result[0].data)),
        second_(static_cast<Second*>(tensors.result[1].data)) {}

  void run(const Execution& execution) const {
    parallel_ranges(execution, maps_, [&](int64_t first, int64_t last, int64_t) {
      for (int64_t map = first; map < last; ++map) fold_map({map * size_, (last - map) * size_});
    });
  }

 private:
  using State = typename Op::State;
  static constexpr int kBlock = 4;  // vectors

  // A map's first element, and how many from there on belong to maps of the same thread.
  struct Map {
    int64_t first, room;
  };

  void fold_map(const Map& map) const {
    if constexpr (Op::kPrepares) {
      A prepared[3 * kMostShiftedVectors * lanes<A>];
      A* const samples = prepared + round_up(shifts_.reach(), lanes<A>);
      prepare(map, samples);
      write(samples, map, WholeVectors{});
    } else if (map.first >= shifts_.reach() &&
               map.first + round_up(size_, lanes<A>) + shifts_.reach() <= maps_ * size_) {
      write(source_ + map.first, map, WholeVectors{});
    } else {
      write(source_ + map.first, map, SetLanes{});
    }
  }

  // How samples are loaded: whole vectors, if all lanes lie in the tensor, or the lanes in the map.
  struct WholeVectors {
    template <class E>
    CNNOPS_INLINE Vec<A> operator()(const E* from, uint16_t) const {
      return load(from);
    }
  };
  struct SetLanes {
    template <class E>
    CNNOPS_INLINE Vec<A> operator()(const E* from, uint16_t bits) const {
      Vec<A> samples{};
      for (int64_t l = 0; l < lanes<A>; ++l)
        if (bits >> l & 1) samples[l] = load_scalar(from + l);
      return samples;
    }
  };

  __attribute__((noinline)) void prepare(const Map& map, A* to) const {
    const Op op = op_;
    const int64_t size = size_, end = maps_ * size_ - map.first;
    for (int64_t i = 0; i < size; i += lanes<A>) {
      const T* from = source_ + map.first + i;
      Vec<A> sample = i + lanes<A> <= end ? load(from) : load_partial(from, size - i), none{};
      op.prepare(sample, none, windows_.preparation(i));
      store(to + i, sample);
    }
  }

  // A vector may hang over the end of the map.
  template <class E, class Load>
  __attribute__((noinline)) void write(const E* source, Map map, Load load_samples) const {
    const Op op = op_;
    const int64_t size = size_, whole = smaller(map.room, round_up(size, lanes<A>));
    T* const first = first_ + map.first;
    Second* const second = second_ + map.first;
    int64_t i = 0;
    for (; i + kBlock * lanes<A> <= whole; i += kBlock * lanes<A>) {
      State states[kBlock];
      fold<kBlock>(op, source, i, load_samples, states);
#pragma GCC unroll 4
      for (int64_t v = i; v < i + kBlock * lanes<A>; v += lanes<A>) {
        const State& state = states[(v - i) / lanes<A>];
        store(first + v, op.value(state, windows_.constants(v)));
        if constexpr (Op::kResults > 1) store_lanes<A>(second + v, op.position(state));
      }
    }
    for (; i < size; i += lanes<A>) {
      State state[1];
      fold<1>(op, source, i, load_samples, state);
      const FirstLanes<A> lane;
      const int64_t count = i + lanes<A> <= whole ? lanes<A> : size - i;
      lane.write(first + i, op.value(state[0], windows_.constants(i)), count);
      if constexpr (Op::kResults > 1) store_some_lanes<A>(second + i, op.position(state[0]), count);
    }
  }

  // kVectors vectors of windows from `window` on.
  template <int kVectors, class E, class Load>
  CNNOPS_INLINE void fold(const Op& op, const E* source, int64_t window, Load load_samples,
                          State* states) const {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      states[v] = op.start(windows_.constants(window + v * lanes<A>), Vec<A>{});
    sweep<0, kVectors>(op, source, window, load_samples, states);
    if constexpr (Op::kSweeps == 2) {
      Ints<A> unsettled{};
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) unsettled |= op.unsettled(states[v]);
      if (any<A>(unsettled)) sweep<1, kVectors>(op, source, window, load_samples, states);
    }
  }

  template <int kSweep, int kVectors, class E, class Load>
  CNNOPS_INLINE void sweep(const Op& op, const E* source, int64_t window, Load load_samples,
                           State* states) const {
    const Vec<A> blank = splat<A>(Op::kBlank);
    for (int64_t tap = 0; tap < shifts_.taps; ++tap) {
      const uint16_t* bits = shifts_.bits[tap] + window / lanes<A>;
      const E* from = source + window + shifts_.distance[tap];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const Vec<A> samples = load_samples(from + v * lanes<A>, bits[v]);
        op.template step<kSweep>(states[v], where_set<A>(bits[v], samples, blank), Vec<A>{}, tap);
      }
    }
  }

  const Op op_;
  const Shifts<A, kMostShifts, kMostShiftedVectors> shifts_;
  const ShiftedWindows<Op> windows_;
  const int64_t maps_, size_;
  const T* source_;
  T* first_;
  Second* second_;
};

}  // namespace cnnops::CNNOPS_TARGET
