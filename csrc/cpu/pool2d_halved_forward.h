// Poolings by windows two apart, of dense NCHW maps: vectors of samples are split into even and odd columns,
// straight from memory; nothing is transposed. A blank takes the place of samples outside the map, which
// changes no fold.
//
// A strip of windows is a vector wide and as high as the map; what the last row of a window holds is the
// first of the next. Rows of windows that fill at most half a vector share one with the next row.
#pragma once

#include "ahead.h"
#include "pool2d_halves.h"
#include "vector_pairs.h"

namespace cnnops::CNNOPS_TARGET {

// Runs a functor of pool2d_fold.h that has one source. T stores its values, Second its second result, if it
// has one.
template <class Op, class T, class Second>
class HalvedForward {
 public:
  using A = typename Op::A;

  static bool supports(const Pool2dProblem& problem, const PoolTensors<A>& tensors) {
    return Op::kHasBlank && has_halves<A>(problem) &&
           is_dense(tensors.source[0].stride, problem.shape.channels, problem.shape.input);
  }

  HalvedForward(const Pool2dProblem& problem, const Op& op, const PoolTensors<A>& tensors)
      : op_(op),
        shape_(problem.shape),
        is_narrow_(shape_.padding.w + shape_.input.w + shape_.kernel.w - 2 <= lanes<A>),
        source_(static_cast<const T*>(tensors.source[0].data)),
        first_(static_cast<T*>(tensors.result[0].data)),
        second_(static_cast<Second*>(tensors.result[1].data)) {
    for (int64_t i = 0; i < divide_up(shape_.output.w, lanes<A>); ++i) find_strip(i);
    find_lanes();
  }

  void run(const Execution& execution) const {
    for_dense_maps(shape_, execution, [&](int64_t map, int64_t) {
      shape_.kernel.w == 2 ? write_map<2>(map) : write_map<3>(map);
    });
  }

 private:
  using State = typename Op::State;
  using Constants = typename Op::Constants;

  // The lanes of a row's samples that lie in the map: of the two vectors that a strip reads, and of the one
  // behind, whose first it reads.
  struct Columns {
    uint16_t low, high, behind;
  };
  void find_strip(int64_t strip) {
    const int64_t left = 2 * strip * lanes<A> - shape_.padding.w;
    const int64_t width = shape_.input.w;
    columns_[strip] = {lanes_between<A>(left, width), lanes_between<A>(left + lanes<A>, width),
                       lanes_between<A>(left + 2 * lanes<A>, width)};
    if constexpr (!std::is_empty_v<Constants>) {
      const int64_t columns = is_narrow_ ? lanes<A> / 2 : lanes<A>;
      for (int kind = 0; kind < kRowKinds; ++kind) {
        const int64_t row = row_of_kind(RowKind(kind), shape_.output.h);
        A of[lanes<A>];
        for (int64_t l = 0; l < lanes<A>; ++l) {
          const int64_t column = smaller(strip * columns + l % columns, shape_.output.w - 1);
          of[l] = constant(row, column);
        }
        constants_[kind][strip] = bit_cast<Constants>(load(of));
      }
    }
  }

  // A blank lies behind the samples of a row that has a third tap there.
  void find_lanes() {
    constexpr int64_t kHalf = lanes<A> / 2, kLast = lanes<A> - 1;
    for (int64_t l = 0; l < lanes<A>; ++l) {
      const int64_t behind = l - shape_.output.w;
      result_lane_[l] = Int<A>(behind < 0 ? l : smaller(kHalf + behind, kLast));
      third_lane_[l] = Int<A>(smaller(2 * (l % kHalf) + 2, kLast) + l / kHalf * lanes<A>);
    }
  }

  A constant(int64_t row, int64_t column) const {
    const int64_t r = row == 0 ? shape_.padding.h : 0, s = column == 0 ? shape_.padding.w : 0;
    return bit_cast<Vec<A>>(op_.constants(row, column, r * shape_.kernel.w + s))[0];
  }

  // What the columns of a row of taps hold, for a vector of windows.
  template <int kTaps>
  struct Row {
    Vec<A> taps[kTaps];
  };

  template <int kTaps>
  void write_map(int64_t map) const {
    const int64_t samples = shape_.input.h * shape_.input.w;
    const int64_t windows = shape_.output.h * shape_.output.w;
    if (is_narrow_) return write_pairs<kTaps>(source_ + map * samples, map * windows);
    for (int64_t q = 0; q < shape_.output.w; q += lanes<A>)
      write_strip<kTaps>(source_ + map * samples, q, map * windows + q);
  }

  // The strip of windows from column q on, whose results lie from `to` on.
  template <int kTaps>
  __attribute__((noinline)) void write_strip(const T* map, int64_t q, int64_t to) const {
    const Op op = op_;
    const Pair input = shape_.input, output = shape_.output;
    const Columns columns = columns_[q / lanes<A>];
    const T* const first = map + 2 * q - shape_.padding.w;
    const auto row = [&](int64_t y) { return read_row<kTaps>(first, input, y, columns); };
    int64_t y = -shape_.padding.h;
    Row<kTaps> rows[kTaps];
    if constexpr (kTaps == 3) rows[0] = row(y);
    for (int64_t p = 0; p < output.h; ++p, y += 2, to += output.w) {
      if (q == 0) fetch_rows(map + y * input.w, 2 * input.w);
      for (int r = kTaps - 2; r < kTaps; ++r) rows[r] = row(y + r);
      write_windows(op, rows, constants_[kind_of_row(p, output.h)][q / lanes<A>], to, output.w - q);
      if constexpr (kTaps == 3) rows[0] = rows[2];
    }
  }

  template <int kTaps>
  CNNOPS_INLINE static Row<kTaps> read_row(const T* first, Pair input, int64_t y,
                                           const Columns& columns) {
    const Vec<A> blank = splat<A>(Op::kBlank);
    Vec<A> low = blank, high = blank, behind = blank;
    if (y >= 0 && y < input.h) {
      const T* const from = first + y * input.w;
      low = load_set(from, columns.low, blank);
      high = load_set(from + lanes<A>, columns.high, blank);
      if constexpr (kTaps == 3) behind = load_set(from + 2 * lanes<A>, columns.behind, blank);
    }
    Row<kTaps> row;
    row.taps[0] = even<A>(low, high);
    row.taps[1] = odd<A>(low, high);
    if constexpr (kTaps == 3) row.taps[2] = join_lanes<A, 1>(row.taps[0], behind);
    return row;
  }

  // All windows of a map whose rows are at most a vector.
  template <int kTaps>
  __attribute__((noinline)) void write_pairs(const T* map, int64_t to) const {
    const Op op = op_;
    const Pair input = shape_.input, output = shape_.output;
    const Columns columns = columns_[0];
    const Vec<A> blank = splat<A>(Op::kBlank);
    const T* const first = map - shape_.padding.w;
    const auto row = [&](int64_t y) {
      return y >= 0 && y < input.h ? load_set(first + y * input.w, columns.low, blank) : blank;
    };
    int64_t y = -shape_.padding.h;
    Vec<A> samples[kTaps + 2];
    if constexpr (kTaps == 3) samples[0] = row(y);
    for (int64_t p = 0; p < output.h; p += 2, y += 4) {
      fetch_rows(map + y * input.w, 4 * input.w);
      for (int r = kTaps - 2; r < kTaps + 2; ++r) samples[r] = row(y + r);
      Row<kTaps> rows[kTaps];
      for (int r = 0; r < kTaps; ++r) rows[r] = split_pair<kTaps>(samples[r], samples[r + 2]);

      const int64_t count = smaller<int64_t>(2, output.h - p) * output.w;
      write_windows(op, rows, constants_of_pair(p), to, count);
      to += 2 * output.w;
      if constexpr (kTaps == 3) samples[0] = samples[4];
    }
  }

  Constants constants_of_pair(int64_t row) const {
    if constexpr (std::is_empty_v<Constants>) {
      return {};
    } else {
      const int64_t rows = shape_.output.h;
      const Vec<A> low = bit_cast<Vec<A>>(constants_[kind_of_row(row, rows)][0]);
      const Vec<A> high = bit_cast<Vec<A>>(constants_[kind_of_row(row + 1, rows)][0]);
      return bit_cast<Constants>(where_set<A>(lane_bits(lanes<A> / 2), low, high));
    }
  }

  // `low` and `high` are rows of the map.
  template <int kTaps>
  CNNOPS_INLINE Row<kTaps> split_pair(Vec<A> low, Vec<A> high) const {
    Row<kTaps> row;
    row.taps[0] = even<A>(low, high);
    row.taps[1] = odd<A>(low, high);
    if constexpr (kTaps == 3) row.taps[2] = pick_lanes<A>(low, high, third_lane_);
    return row;
  }

  CNNOPS_INLINE static void fetch_rows(const T* from, int64_t samples) {
    for (int64_t i = 0; i < samples; i += kLineElements<T>) fetch_page_ahead(from + i);
  }

  template <int kTaps>
  CNNOPS_INLINE void write_windows(const Op& op, const Row<kTaps>* rows, const Constants& constants,
                                   int64_t to, int64_t count) const {
    State state = op.start(constants, Vec<A>{});
    sweep<0, kTaps>(op, rows, state);
    if constexpr (Op::kSweeps == 2) {
      if (any<A>(op.unsettled(state))) sweep<1, kTaps>(op, rows, state);
    }
    write(first_ + to, op.value(state, constants), count);
    if constexpr (Op::kResults > 1) write(second_ + to, op.position(state), count);
  }

  template <class E>
  CNNOPS_INLINE void write(E* to, Vec<A> value, int64_t count) const {
    if (is_narrow_) value = pick_lanes<A>(value, value, result_lane_);
    if (count >= lanes<A>) {
      store_lanes<A>(to, value);
    } else {
      store_some_lanes<A>(to, value, count);
    }
  }

  template <int kSweep, int kTaps>
  CNNOPS_INLINE static void sweep(const Op& op, const Row<kTaps>* rows, State& state) {
#pragma GCC unroll 3
    for (int r = 0; r < kTaps; ++r) {
#pragma GCC unroll 3
      for (int s = 0; s < kTaps; ++s)
        op.template step<kSweep>(state, rows[r].taps[s], Vec<A>{}, r * kTaps + s);
    }
  }

  const Op op_;
  const Pool2dShape shape_;
  const bool is_narrow_;  // whether a vector holds two rows of windows
  const T* source_;
  T* first_;
  Second* second_;
  // Of two rows that share a vector: the lane of every window, one after another, and that of its third tap
  // in a row of samples.
  Ints<A> result_lane_, third_lane_;
  Columns columns_[kMostHalvedStrips];
  Constants constants_[kRowKinds][kMostHalvedStrips];
};

}  // namespace cnnops::CNNOPS_TARGET
