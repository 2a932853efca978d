// Gradients of poolings whose windows tile maps, in channels_last: every sample has one window, so that
// a window is read once and its samples are written one after the other, without looking for windows.
#pragma once

#include "pool2d_lanes.h"
#include "pool2d_walk.h"
#include "runs.h"

namespace cnnops::CNNOPS_TARGET {

// Runs a functor of pool2d_fold.h. T stores its values, Second its second source, if it has one.
template <class Op, class T, class Second>
class TiledGradients {
 public:
  using A = typename Op::A;

  static bool supports(const Pool2dProblem& problem, const PoolTensors<A>& tensors) {
    const Pool2dShape& shape = problem.shape;
    for (int k = 0; k < Op::kSources; ++k)
      if (tensors.source[k].stride.c != 1) return false;
    if (Op::kOwn && tensors.own.stride.c != 1) return false;
    return problem.channels_last && windows_tile(shape) && has_small_window(shape);
  }

  TiledGradients(const Pool2dProblem& problem, const Op& op, const PoolTensors<A>& tensors)
      : op_(op),
        shape_(problem.shape),
        first_{static_cast<const T*>(tensors.source[0].data), tensors.source[0].stride},
        second_{static_cast<const Second*>(tensors.source[1].data), tensors.source[1].stride},
        own_{static_cast<const T*>(tensors.own.data), tensors.own.stride},
        result_{static_cast<T*>(tensors.result[0].data), tensors.result[0].stride},
        streams_(is_streamed(tensors.result[0], problem.shape, problem.shape.input)) {}

  void run(const Execution& execution) const {
    parallel(execution, shape_.batch * shape_.output.h, [&](int64_t task, int64_t) {
      write_row(task / shape_.output.h, task % shape_.output.h);
      if (streams_) stream_fence();
    });
  }

 private:
  // Vectors of channels whose window is in registers.
  static constexpr int kBlock = 4;

  template <class E>
  struct Map {
    E* data;
    Strides4 stride;

    E* at(int64_t image, int64_t row, int64_t column) const {
      return data + image * stride.n + row * stride.h + column * stride.w;
    }
  };

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
    const int64_t y = p * shape_.kernel.h, end = shape_.output.w * shape_.kernel.w;
    const int64_t rows = smaller(shape_.kernel.h, shape_.input.h - y);
    for (int64_t q = 0; q < shape_.output.w; ++q) {
      const int64_t columns = smaller(shape_.kernel.w, shape_.input.w - q * shape_.kernel.w);
      if (rows == 2 && columns == 2) {
        using Two = std::integral_constant<int64_t, 2>;
        write_window(window_at(image, p, q, Two{}, Two{}), preparation(p, q));
      } else {
        write_window(window_at(image, p, q, rows, columns), preparation(p, q));
      }
    }
    clear(image, {y, y + rows}, {end, shape_.input.w});
    if (p + 1 == shape_.output.h) clear(image, {y + rows, shape_.input.h}, {0, shape_.input.w});
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

  // All channels. The last vector of many reaches back over the one before.
  template <class AnyWindow>
  void write_window(const AnyWindow& window, Vec<A> preparation) const {
    const int64_t channels = shape_.channels;
    if constexpr (std::is_same_v<T, A>) {
      if (streams_) return write_vectors(window, preparation, StreamedLanes<A>{});
    }
    if (channels < lanes<A>) return write_block<1>(window, preparation, 0, FirstLanes<A>{});
    write_vectors(window, preparation, WholeLanes<A>{});
  }

  template <class AnyWindow, class Lanes>
  CNNOPS_INLINE void write_vectors(const AnyWindow& window, Vec<A> preparation, Lanes lane) const {
    const int64_t channels = shape_.channels;
    int64_t c = 0;
    for (; c + kBlock * lanes<A> <= channels; c += kBlock * lanes<A>)
      write_block<kBlock>(window, preparation, c, lane);
    for (; c < channels; c += lanes<A>)
      write_block<1>(window, preparation, smaller(c, channels - lanes<A>), lane);
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
  const Map<const T> first_;
  const Map<const Second> second_;
  const Map<const T> own_;
  const Map<T> result_;
  const bool streams_;
};

}  // namespace cnnops::CNNOPS_TARGET
