// Gradients of poolings by windows two apart, of dense NCHW maps: every row of samples adds up what its one
// or two rows of windows give, to even and to odd columns side by side, and interleaves them. Rows that
// fill at most a vector are computed two at a time, those two apart.
#pragma once

#include "pool2d_halved_windows.h"

namespace cnnops::CNNOPS_TARGET {

// Runs a functor of pool2d_fold.h. T stores its values, Second its second source, if it has one.
template <class Op, class T, class Second>
class HalvedGradients {
 public:
  using A = typename Op::A;

  static bool supports(const Pool2dProblem& problem, const PoolTensors<A>& tensors) {
    return has_halves<A>(problem) && reads_dense_maps<Op>(problem.shape, tensors);
  }

  HalvedGradients(const Pool2dProblem& problem, const Op& op, const PoolTensors<A>& tensors)
      : op_(op),
        shape_(problem.shape),
        windows_(shape_, op, tensors),
        frame_{windows_.pitch(), windows_.together() == 2 ? 2 * shape_.input.w : lanes<A>,
               divide_up(shape_.input.w + shape_.padding.w, 2 * lanes<A>),
               static_cast<const T*>(tensors.own.data), static_cast<T*>(tensors.result[0].data)} {
    for (int64_t i = 0; i < frame_.strips; ++i) columns_[i] = find_columns(i);
  }

  void run(const Execution& execution) const {
    for_dense_maps(shape_, execution, [&](int64_t map, int64_t) {
      shape_.kernel.w == 2 ? write_map<2>(map) : write_map<3>(map);
    });
  }

 private:
  using State = typename Op::State;
  using Windows = HalvedWindows<Op, T, Second>;
  using Band = typename Windows::Band;

  // The samples of a vector of windows, in the vectors of their low and high lanes: those in the map, and
  // those of windows among them.
  struct Columns {
    uint16_t low, high, low_covered, high_covered;
  };
  Columns find_columns(int64_t strip) const {
    const int64_t width = shape_.input.w;
    const int64_t left = 2 * strip * lanes<A> - shape_.padding.w;
    const int64_t right = windows_.together() == 2 ? left : left + lanes<A>;
    const int64_t end = 2 * (shape_.output.w - 1) + shape_.kernel.w - shape_.padding.w;
    const int64_t covered = smaller(width, end);
    return {lanes_between<A>(left, width), lanes_between<A>(right, width),
            lanes_between<A>(left, covered), lanes_between<A>(right, covered)};
  }

  // What rows have in common: from one row of windows to the next, from the samples of a vector's low lanes
  // to those of its high ones, and vectors of windows.
  struct Frame {
    int64_t pitch, to_high, strips;
    const T* own;
    T* result;
  };
  // Rows of samples: their first window and sample, and whether that of the low lanes and that of the high
  // ones is there, as all bits or none.
  struct Rows {
    int64_t window, sample;
    uint16_t low, high;
  };

  template <int kTaps>
  __attribute__((noinline)) void write_map(int64_t map) const {
    const int64_t rows = divide_up(shape_.input.h + shape_.padding.h, 2);
    const int64_t most = windows_.rows_of_band();
    Band band;
    for (int64_t row = 0; row < rows; row += most) {
      const int64_t end = smaller(row + most, rows);
      windows_.read(map, row, end, band);
      write_band<kTaps>(band, map, row, end);
    }
  }

  // The samples whose even rows belong to the windows' rows [row, end).
  template <int kTaps>
  CNNOPS_INLINE void write_band(const Band& band, int64_t map, int64_t row, int64_t end) const {
    const Op op = op_;
    const Frame frame = frame_;
    const Pair input = shape_.input;
    const int64_t together = windows_.together(), to_high = 2 * (together - 1);
    const auto there = [&](int64_t y) -> uint16_t {
      return y >= 0 && y < input.h ? lane_bits(lanes<A>) : 0;
    };
    for (int64_t i = row; i < end; i += together) {
      const int64_t y = 2 * i - shape_.padding.h, window = (i - row) * frame.pitch;
      const int64_t sample = (map * input.h + y) * input.w - shape_.padding.w;
      write_rows<kTaps, 0>(op, frame, band, {window, sample, there(y), there(y + to_high)});
      write_rows<kTaps, 1>(op, frame, band,
                           {window, sample + input.w, there(y + 1), there(y + 1 + to_high)});
    }
  }

  // Rows of samples that are the row of taps kTap of their row of windows.
  template <int kTaps, int kTap>
  CNNOPS_INLINE void write_rows(const Op& op, const Frame& frame, const Band& band,
                                const Rows& rows) const {
    for (int64_t i = 0; i < frame.strips; ++i) {
      const Columns& columns = columns_[i];
      const int64_t window = rows.window + i * lanes<A>;
      const int64_t low_sample = rows.sample + 2 * i * lanes<A>;
      const int64_t high_sample = low_sample + frame.to_high;
      const uint16_t low_bits = columns.low & rows.low, high_bits = columns.high & rows.high;
      Vec<A> low{}, high{};
      if constexpr (Op::kOwn) {
        low = load_set(frame.own + low_sample, low_bits, low);
        high = load_set(frame.own + high_sample, high_bits, high);
      }
      const auto constants = op.constants(0, 0, 0);
      State left = op.start(constants, even<A>(low, high));
      State right = op.start(constants, odd<A>(low, high));
      if constexpr (kTaps == 3 && kTap == 0)
        step<kTaps, 2>(op, band, window - frame.pitch, left, right);
      step<kTaps, kTap>(op, band, window, left, right);
      const Vec<A> of_left = op.value(left, constants), of_right = op.value(right, constants);
      low = interleave_low<A>(of_left, of_right), high = interleave_high<A>(of_left, of_right);
      if constexpr (Op::kOwn) {
        low = where_set<A>(columns.low_covered, low, Vec<A>{});
        high = where_set<A>(columns.high_covered, high, Vec<A>{});
      }
      store_set(frame.result + low_sample, low, low_bits);
      store_set(frame.result + high_sample, high, high_bits);
    }
  }

  // What a row of windows, whose row of taps kTap the samples are, gives to even and odd columns.
  template <int kTaps, int kTap>
  CNNOPS_INLINE static void step(const Op& op, const Band& band, int64_t window, State& left,
                                 State& right) {
    const int64_t tap = kTap * kTaps;
    const Vec<A> first = band.first(window), second = band.second(window);
    if constexpr (kTaps == 3)
      op.template step<0>(left, band.first(window - 1), band.second(window - 1), tap + 2);
    op.template step<0>(left, first, second, tap);
    op.template step<0>(right, first, second, tap + 1);
  }

  const Op op_;
  const Pool2dShape shape_;
  const Windows windows_;
  const Frame frame_;
  Columns columns_[kMostHalvedStrips + 1];
};

}  // namespace cnnops::CNNOPS_TARGET
