// Gradients of poolings whose windows tile small dense NCHW maps: two vectors hold all windows of a
// map, and a table tells which of their lanes every sample picks.
#pragma once

#include "pool2d_lanes.h"
#include "pool2d_pairs.h"
#include "runs.h"

namespace cnnops::CNNOPS_TARGET {

// Vectors of a map's samples, at most.
inline constexpr int64_t kSmallMapVectors = 16;

// Windows that tile maps of few samples.
template <class A>
bool has_small_tiles(const Pool2dProblem& problem) {
  const Pair input = problem.shape.input, output = problem.shape.output;
  return !problem.channels_last && windows_tile(problem.shape) &&
         output.h * output.w <= 2 * lanes<A> && input.h * input.w <= kSmallMapVectors * lanes<A>;
}

// Runs a functor of pool2d_fold.h. T stores its values, Second its second source, if it has one.
template <class Op, class T, class Second>
class SmallMapGradients {
 public:
  using A = typename Op::A;

  static bool supports(const Pool2dProblem& problem, const PoolTensors<A>& tensors) {
    return has_small_tiles<A>(problem) && reads_dense_maps<Op>(problem.shape, tensors);
  }

  SmallMapGradients(const Pool2dProblem& problem, const Op& op, const PoolTensors<A>& tensors)
      : op_(op),
        shape_(problem.shape),
        first_(static_cast<const T*>(tensors.source[0].data)),
        second_(static_cast<const Second*>(tensors.source[1].data)),
        own_(static_cast<const T*>(tensors.own.data)),
        result_(static_cast<T*>(tensors.result[0].data)) {
    for (int64_t w = 0; w < size(shape_.output); ++w) prepare_window(w);
    for (int64_t i = 0; i < round_up(size(shape_.input), lanes<A>); ++i) find_window(i);
  }

  void run(const Execution& execution) const {
    for_dense_maps(shape_, execution, [&](int64_t map, int64_t end) {
      if (has_room_behind<A>(shape_, end - map - 1)) {
        write_map(map, WholeLanes<A>{});
      } else {
        write_map(map, FirstLanes<A>{});
      }
    });
  }

 private:
  static int64_t size(Pair map) { return map.h * map.w; }

  void prepare_window(int64_t window) {
    if constexpr (Op::kPrepares) {
      const int64_t p = window / shape_.output.w, q = window % shape_.output.w;
      preparation_[window / lanes<A>][window % lanes<A>] = op_.preparation(p, q)[0];
    }
  }

  // The window of a sample, and the sample's position in it: -1 where no window has it.
  void find_window(int64_t sample) {
    const Pair kernel = shape_.kernel;
    const int64_t y = sample / shape_.input.w, x = sample % shape_.input.w;
    const int64_t p = y / kernel.h, q = x / kernel.w;
    const bool has_one = p < shape_.output.h && q < shape_.output.w;
    const int64_t vector = sample / lanes<A>, lane = sample % lanes<A>;
    window_[vector][lane] = has_one ? Int<A>(p * shape_.output.w + q) : 0;
    tap_[vector][lane] = has_one ? Int<A>(y % kernel.h * kernel.w + x % kernel.w) : -1;
  }

  template <class Lanes>
  CNNOPS_INLINE void write_map(int64_t map, Lanes lane) const {
    const int64_t windows = size(shape_.output), samples = size(shape_.input);
    const Op op = op_;
    const int64_t first_window = map * windows, first_sample = map * samples;
    const auto constants = op.constants(0, 0, 0);
    Vec<A> first[2] = {}, second[2] = {};
    for (int k = 0; k < 2 && k * lanes<A> < windows; ++k) {
      const int64_t at = first_window + k * lanes<A>, count = windows - k * lanes<A>;
      first[k] = lane.read(first_ + at, count);
      if constexpr (Op::kSources > 1) second[k] = lane.read(second_ + at, count);
      if constexpr (Op::kPrepares) op.prepare(first[k], second[k], preparation_[k]);
    }
    for (int64_t i = 0; i < samples; i += lanes<A>) {
      const Ints<A> window = window_[i / lanes<A>], tap = tap_[i / lanes<A>];
      Vec<A> own{};
      if constexpr (Op::kOwn) own = lane.read(own_ + first_sample + i, samples - i);
      auto state = op.start(constants, own);
      op.template step<0>(state, pick_lanes<A>(first[0], first[1], window),
                          pick_lanes<A>(second[0], second[1], window), tap);
      const Ints<A> value = bit_cast<Ints<A>>(op.value(state, constants)) & (tap >= 0);
      lane.write(result_ + first_sample + i, bit_cast<Vec<A>>(value), samples - i);
    }
  }

  const Op op_;
  const Pool2dShape shape_;
  const T* first_;
  const Second* second_;
  const T* own_;
  T* result_;
  Vec<A> preparation_[2] = {};
  Ints<A> window_[kSmallMapVectors], tap_[kSmallMapVectors];
};

}  // namespace cnnops::CNNOPS_TARGET
