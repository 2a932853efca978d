// Window operations: every result is a fold over the source samples its window covers, each channel
// for itself, in the order of the samples. A thread owns a few positions of the result, one below the
// other, in a group of channels, and writes them whole: nothing is shared. The group shares the
// geometry of the window, the positions share the columns of theirs.
//
// An operation is a struct Op, made from (params, position, rows, columns), with
// - First, Second: the element types read at each sample of a window; Own: at the position of the
//   result; Result, Extra: written there; None for those it lacks;
// - kPlanes: channels a thread of the row kernel folds side by side;
// - walk(axis, i): the samples of result i along an axis;
// - at_tap(tap): what the channels share at a sample;
// - State: what the fold of a channel carries;
// - start(own) -> State, step<sweep>(state, first, second, at_tap's), value(state), more(state);
// - kSweeps: how often a window is walked over, and turn(state) between two sweeps.
#pragma once

#include <type_traits>

#include "pool2d_lanes.cuh"
#include "pool2d_walk.cuh"

namespace cnnops::cuda {

// Of a sample; c is the first channel of a group.
struct Position {
  int64_t n, c, h, w;
};

// Where a result of a thread belongs: its position, and the element of a dense tensor it is.
struct Place {
  Position at;
  int64_t element;
};

// A sample of the source, and the position of its tap in the window.
struct Tap {
  int64_t h, w;
  int index;
};

// What an operation starts from.
template <class T>
struct WindowOp {
  using First = T;
  using Second = None;
  using Own = None;
  using Result = T;
  using Extra = None;
  static constexpr int kPlanes = kPool2dGroupBytes / sizeof(T), kSweeps = 1;

  __device__ None at_tap(const Tap&) const { return {}; }
};

// From the input to the output.
template <class T>
struct ForwardOp : WindowOp<T> {
  static __device__ Walk walk(const Pool2dAxis& axis, int64_t i) { return window_samples(axis, i); }
};

// From the output back to the input.
template <class T>
struct GradientOp : WindowOp<T> {
  static __device__ Walk walk(const Pool2dAxis& axis, int64_t i) {
    return covering_windows(axis, i);
  }
};

inline __device__ int64_t offset_of(const Strides4& stride, const Position& at) {
  return at.n * stride.n + at.c * stride.c + at.h * stride.h + at.w * stride.w;
}

// Moves over the samples of a window in one operand.
template <class T>
struct Cursor {
  const T* sample;
  int64_t down, right, channel;

  __device__ Cursor(const Pool2dOperand& operand, const Position& at)
      : sample(static_cast<const T*>(operand.data) + offset_of(operand.stride, at)),
        down(operand.down),
        right(operand.right),
        channel(operand.stride.c) {}

  template <class Channels>
  __device__ auto load(const Channels& channels) const {
    return channels.load(sample, channel);
  }
  __device__ void move_down() { sample += down; }
  __device__ void move_right() { sample += right; }
};
template <>
struct Cursor<None> {
  __device__ Cursor(const Pool2dOperand&, const Position&) {}

  template <class Channels>
  __device__ auto load(const Channels&) const {
    return Lanes<None, Channels::kLanes>{};
  }
  __device__ void move_down() {}
  __device__ void move_right() {}
};

template <class T, class Channels>
__device__ auto load_own(const void* data, const Strides4& stride, const Position& at,
                         const Channels& channels) {
  if constexpr (std::is_same_v<T, None>) {
    return Lanes<None, Channels::kLanes>{};
  } else {
    return channels.load(static_cast<const T*>(data) + offset_of(stride, at), stride.c);
  }
}

template <class T, class Channels>
__device__ void store(const Lanes<T, Channels::kLanes>& lanes, void* to, int64_t element,
                      int64_t plane, const Channels& channels) {
  if constexpr (!std::is_same_v<T, None>)
    channels.store(lanes, static_cast<T*>(to) + element, plane);
}

template <int sweep, class Op, class Channels>
__device__ void sweep_window(const Op& op, const Pool2dParams& params, const Position& at,
                             const Walk& rows, const Walk& columns, const Channels& channels,
                             typename Op::State (&states)[Channels::kLanes]) {
  const Position start{at.n, at.c, rows.sample, columns.sample};
  Cursor<typename Op::First> first_row(params.first, start);
  Cursor<typename Op::Second> second_row(params.second, start);
#pragma unroll 1
  for (int r = 0; r < rows.count; ++r) {
    const int tap_row = (rows.tap + r * rows.tap_step) * static_cast<int>(params.w.kernel);
    auto first = first_row;
    auto second = second_row;
#pragma unroll 1
    for (int s = 0; s < columns.count; ++s) {
      const auto x = first.load(channels);
      const auto y = second.load(channels);
      const auto shared = op.at_tap({rows.sample + r * rows.step, columns.sample + s * columns.step,
                                     tap_row + columns.tap + s * columns.tap_step});
#pragma unroll
      for (int i = 0; i < Channels::kLanes; ++i)
        op.template step<sweep>(states[i], widen(x.lane[i]), widen(y.lane[i]), shared);
      first.move_right();
      second.move_right();
    }
    first_row.move_down();
    second_row.move_down();
  }
}

template <class Op, class Channels>
__device__ void fold_window(const Pool2dParams& params, const Place& place, const Walk& columns,
                            const Channels& channels) {
  constexpr int kLanes = Channels::kLanes;
  const Position& at = place.at;
  const Walk rows = Op::walk(params.h, at.h);
  const Op op(params, at, rows, columns);
  const auto own = load_own<typename Op::Own>(params.own.data, params.own.stride, at, channels);
  typename Op::State states[kLanes];
#pragma unroll
  for (int i = 0; i < kLanes; ++i) states[i] = op.start(widen(own.lane[i]));
  sweep_window<0>(op, params, at, rows, columns, channels, states);
  if constexpr (Op::kSweeps == 2) {
#pragma unroll
    for (int i = 0; i < kLanes; ++i) op.turn(states[i]);
    sweep_window<1>(op, params, at, rows, columns, channels, states);
  }
  Lanes<typename Op::Result, kLanes> result;
  Lanes<typename Op::Extra, kLanes> extra;
#pragma unroll
  for (int i = 0; i < kLanes; ++i) {
    result.lane[i] = narrow<typename Op::Result>(op.value(states[i]));
    if constexpr (!std::is_same_v<typename Op::Extra, None>)
      extra.lane[i] = static_cast<typename Op::Extra>(op.more(states[i]));
  }
  store(result, params.result, place.element, params.plane, channels);
  store(extra, params.extra, place.element, params.plane, channels);
}

// `place` is the uppermost of the thread's.
template <class Op, class Channels>
__device__ void fold_windows(const Pool2dParams& params, Place place, const Channels& channels) {
  const Walk columns = Op::walk(params.w, place.at.w);
  const int64_t end = min(place.at.h + params.rows_a_thread, params.rows);
#pragma unroll 1
  for (; place.at.h < end; ++place.at.h, place.element += params.row)
    fold_window<Op>(params, place, columns, channels);
}

inline __device__ int64_t thread_index() {
  return static_cast<int64_t>(blockIdx.x) * kPool2dThreads + threadIdx.x;
}

// Neighbouring threads have neighbouring columns.
inline __device__ Place place_in_rows(const Pool2dParams& params, int64_t index, int group) {
  Position at;
  at.w = take_digit(index, params.columns);
  at.h = take_digit(index, params.row_groups) * params.rows_a_thread;
  at.c = take_digit(index, params.channel_groups) * group;
  at.n = index;
  return {at, (at.n * params.channels + at.c) * params.plane + at.h * params.row + at.w};
}

// Neighbouring threads have neighbouring groups of channels.
inline __device__ Place place_in_channels(const Pool2dParams& params, int64_t index, int group) {
  Position at;
  at.c = take_digit(index, params.channel_groups) * group;
  at.w = take_digit(index, params.columns);
  at.h = take_digit(index, params.row_groups) * params.rows_a_thread;
  at.n = index;
  return {at, (at.n * params.rows + at.h) * params.row + at.w * params.channels + at.c};
}

// Contiguous results: lanes along columns. The last group of an image may have fewer channels than
// the others; they are folded one by one.
template <class Op>
__global__ __launch_bounds__(kPool2dThreads, kPool2dBlocks) void pool2d_rows(
    const __grid_constant__ Pool2dParams params) {
  const int64_t index = thread_index();
  if (index >= params.threads) return;
  Place place = place_in_rows(params, index, Op::kPlanes);
  if (Op::kPlanes == 1 || place.at.c + Op::kPlanes <= params.channels) {
    fold_windows<Op>(params, place, ChannelPlanes<Op::kPlanes>{});
  } else {
#pragma unroll 1
    for (; place.at.c < params.channels; ++place.at.c, place.element += params.plane)
      fold_windows<Op>(params, place, ChannelPlanes<1>{});
  }
}

// channels_last results: lanes along channels, each with a vector of them.
template <class Op, int width>
__global__ __launch_bounds__(kPool2dThreads, kPool2dBlocks) void pool2d_channels(
    const __grid_constant__ Pool2dParams params) {
  const int64_t index = thread_index();
  if (index >= params.threads) return;
  fold_windows<Op>(params, place_in_channels(params, index, width), ChannelVector<width>{});
}

}  // namespace cnnops::cuda
