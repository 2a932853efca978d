// Gradients of poolings whose windows tile maps, in channels_last: every sample has one window, so that
// a window is read once and its samples are written one after the other, without looking for windows.
// Samples of few channels are written together with those beside them.
#pragma once

#include "pool2d_lanes.h"
#include "runs.h"

namespace cnnops::CNNOPS_TARGET {

// Whether a row of a window's samples fits a vector.
template <class A>
bool has_joined_samples(const Pool2dProblem& problem) {
  const Pool2dShape& shape = problem.shape;
  return problem.channels_last && windows_tile(shape) && has_small_window(shape) &&
         shape.kernel.w > 1 && shape.kernel.w * shape.channels <= lanes<A>;
}

// Runs a functor of pool2d_fold.h. T stores its values, Second its second source, if it has one.
template <class Op, class T, class Second>
class TiledGradients {
 public:
  using A = typename Op::A;

  static bool supports(const Pool2dProblem& problem, const PoolTensors<A>& tensors) {
    return problem.channels_last && windows_tile(problem.shape) &&
           has_small_window(problem.shape) && reads_whole_pixels<Op>(tensors);
  }

  TiledGradients(const Pool2dProblem& problem, const Op& op, const PoolTensors<A>& tensors,
                 int64_t threads)
      : op_(op),
        shape_(problem.shape),
        first_{static_cast<const T*>(tensors.source[0].data), tensors.source[0].stride},
        second_{static_cast<const Second*>(tensors.source[1].data), tensors.source[1].stride},
        own_{static_cast<const T*>(tensors.own.data), tensors.own.stride},
        result_{static_cast<T*>(tensors.result[0].data), tensors.result[0].stride},
        joins_(has_joined_samples<A>(problem) && (!Op::kOwn || own_.stride.w == shape_.channels)),
        streams_(is_streamed(tensors.result[0], problem.shape,
                             moved_samples<Op>(problem.shape.output, problem.shape.input),
                             threads)) {
    for (int64_t l = 0; l < lanes<A>; ++l) {
      channel_[l] = Int<A>(l % shape_.channels);
      column_[l] = Int<A>(l / shape_.channels);
    }
  }

  void run(const Execution& execution) const {
    parallel(execution, shape_.batch * shape_.output.h, [&](int64_t task, int64_t) {
      write_row(task / shape_.output.h, task % shape_.output.h);
      if (streams_) stream_fence();
    });
  }

 private:
  // Vectors of channels whose window is in registers.
  static constexpr int kBlock = 4;

  // The samples of a row of a window, side by side.
  struct JoinedLanes {};

  // Where a window and its first sample lie, and how many samples it has.
  template <class Rows, class Columns>
  struct Window {
    const T* first;
    const Second* second;
    const T* own;
    T* result;
    Rows rows;
    Columns columns;
  };

  // The samples of a row of windows, and those behind it that no window has.
  void write_row(int64_t image, int64_t p) const {
    if (joins_) {
      write_row(image, p, JoinedLanes{});
    } else if (streams_) {
      if constexpr (std::is_same_v<T, A>) write_row(image, p, StreamedLanes<A>{});
    } else if (shape_.channels < lanes<A>) {
      write_row(image, p, FirstLanes<A>{});
    } else {
      write_row(image, p, WholeLanes<A>{});
    }
    const int64_t y = p * shape_.kernel.h, end = shape_.output.w * shape_.kernel.w;
    const int64_t rows = smaller(shape_.kernel.h, shape_.input.h - y);
    clear(image, {y, y + rows}, {end, shape_.input.w});
    if (p + 1 == shape_.output.h) clear(image, {y + rows, shape_.input.h}, {0, shape_.input.w});
  }

  // The last window may have fewer columns, as those of the last row fewer rows.
  template <class Lanes>
  void write_row(int64_t image, int64_t p, Lanes lane) const {
    using Two = std::integral_constant<int64_t, 2>;
    const int64_t width = shape_.kernel.w, whole = smaller(shape_.output.w, shape_.input.w / width);
    const int64_t rows = smaller(shape_.kernel.h, shape_.input.h - p * shape_.kernel.h);
    if (rows == 2 && width == 2) {
      write_windows(image, p, {0, whole}, Two{}, Two{}, lane);
    } else {
      write_windows(image, p, {0, whole}, rows, width, lane);
    }
    write_windows(image, p, {whole, shape_.output.w}, rows, shape_.input.w - whole * width, lane);
  }

  // Some windows of a row, of the same size.
  template <class Rows, class Columns, class Lanes>
  void write_windows(int64_t image, int64_t p, const Range& windows, Rows rows, Columns columns,
                     Lanes lane) const {
    const Strides4 first = first_.stride, second = second_.stride;
    const int64_t next_own = columns * own_.stride.w, next_result = columns * result_.stride.w;
    auto window = window_at(image, p, windows.first, rows, columns);
    for (int64_t q = windows.first; q < windows.last; ++q) {
      write_window(window, preparation(p, q), lane);
      window.first += first.w, window.result += next_result;
      if constexpr (Op::kSources > 1) window.second += second.w;
      if constexpr (Op::kOwn) window.own += next_own;
    }
  }

  template <class Rows, class Columns>
  Window<Rows, Columns> window_at(int64_t image, int64_t p, int64_t q, Rows rows,
                                  Columns columns) const {
    const int64_t y = p * shape_.kernel.h, x = q * shape_.kernel.w;
    return {first_.at(image, p, q),
            Op::kSources > 1 ? second_.at(image, p, q) : nullptr,
            Op::kOwn ? own_.at(image, y, x) : nullptr,
            result_.at(image, y, x),
            rows,
            columns};
  }

  Vec<A> preparation(int64_t p, int64_t q) const {
    if constexpr (Op::kPrepares) return op_.preparation(p, q);
    return Vec<A>{};
  }

  // Every sample sees the window's channels.
  template <class AnyWindow>
  CNNOPS_INLINE void write_window(const AnyWindow& window, Vec<A> preparation, JoinedLanes) const {
    const Op op = op_;
    const int64_t channels = shape_.channels, count = window.columns * channels;
    const int64_t to = result_.stride.h, from = own_.stride.h, kernel_columns = shape_.kernel.w;
    const auto constants = op.constants(0, 0, 0);
    Vec<A> first = load_some_lanes<A>(window.first, channels), second{};
    if constexpr (Op::kSources > 1) second = load_some_lanes<A>(window.second, channels);
    if constexpr (Op::kPrepares) op.prepare(first, second, preparation);
    first = __builtin_shuffle(first, channel_);
    second = __builtin_shuffle(second, channel_);
    for (int64_t r = 0; r < window.rows; ++r) {
      Vec<A> own{};
      if constexpr (Op::kOwn) own = load_some_lanes<A>(window.own + r * from, count);
      auto state = op.start(constants, own);
      op.template step<0>(state, first, second, column_ + Int<A>(r * kernel_columns));
      store_partial(window.result + r * to, op.value(state, constants), count);
    }
  }

  // All channels. The last vector of many reaches back over the one before.
  template <class AnyWindow, class Lanes>
  CNNOPS_INLINE void write_window(const AnyWindow& window, Vec<A> preparation, Lanes lane) const {
    const int64_t channels = shape_.channels;
    int64_t c = 0;
    for (; c + kBlock * lanes<A> <= channels; c += kBlock * lanes<A>)
      write_block<kBlock>(window, preparation, c, lane);
    for (; c < channels; c += lanes<A>)
      write_block<1>(window, preparation, larger<int64_t>(0, smaller(c, channels - lanes<A>)),
                     lane);
  }

  // kVectors vectors of channels from c on.
  template <int kVectors, class AnyWindow, class Lanes>
  CNNOPS_INLINE void write_block(const AnyWindow& window, Vec<A> preparation, int64_t c,
                                 Lanes lane) const {
    const Op op = op_;
    const Strides4 to = result_.stride, from = own_.stride;
    const int64_t channels = shape_.channels, kernel_columns = shape_.kernel.w;
    const auto constants = op.constants(0, 0, 0);
    Vec<A> first[kVectors], second[kVectors] = {};
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      first[v] = lane.read(window.first + c + v * lanes<A>, channels);
      if constexpr (Op::kSources > 1)
        second[v] = lane.read(window.second + c + v * lanes<A>, channels);
      if constexpr (Op::kPrepares) op.prepare(first[v], second[v], preparation);
    }
    for (int64_t r = 0; r < window.rows; ++r) {
      for (int64_t s = 0; s < window.columns; ++s) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          const int64_t channel = c + v * lanes<A>;
          Vec<A> own{};
          if constexpr (Op::kOwn)
            own = lane.read(window.own + r * from.h + s * from.w + channel, channels);
          auto state = op.start(constants, own);
          op.template step<0>(state, first[v], second[v], r * kernel_columns + s);
          lane.write(window.result + r * to.h + s * to.w + channel, op.value(state, constants),
                     channels);
        }
      }
    }
  }

  void clear(int64_t image, const Range& rows, const Range& columns) const {
    for (int64_t y = rows.first; y < rows.last; ++y) {
      for (int64_t x = columns.first; x < columns.last; ++x)
        fill_run(result_.at(image, y, x), T{}, shape_.channels);
    }
  }

  const Op op_;
  const Pool2dShape shape_;
  const PixelMap<const T> first_;
  const PixelMap<const Second> second_;
  const PixelMap<const T> own_;
  const PixelMap<T> result_;
  const bool joins_, streams_;
  Ints<A> channel_, column_;  // of every lane of joined samples
};

}  // namespace cnnops::CNNOPS_TARGET
