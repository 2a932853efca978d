// Gradients of poolings by windows of two columns that tile dense NCHW maps: every sample has one window,
// so that rows are written in whole vectors, without looking for taps.
#pragma once

#include "pool2d_pairs.h"
#include "runs.h"

namespace cnnops::CNNOPS_TARGET {

// Runs a functor of pool2d_fold.h. T stores its values, Second its second source, if it has one.
template <class Op, class T, class Second>
class PairGradients {
 public:
  using A = typename Op::A;

  static bool supports(const Pool2dProblem& problem, const PoolTensors<A>& tensors) {
    return has_pairs(problem) && has_half_rows<A>(problem.shape) &&
           reads_dense_maps<Op>(problem.shape, tensors);
  }

  PairGradients(const Pool2dProblem& problem, const Op& op, const PoolTensors<A>& tensors)
      : op_(op),
        shape_(problem.shape),
        whole_(smaller(shape_.output.w, shape_.input.w / 2) / lanes<A> * lanes<A>),
        rows_of_vector_(two_rows_fit(shape_) ? 2 : 1),
        first_(static_cast<const T*>(tensors.source[0].data)),
        second_(static_cast<const Second*>(tensors.source[1].data)),
        own_(static_cast<const T*>(tensors.own.data)),
        result_(static_cast<T*>(tensors.result[0].data)) {}

  void run(const Execution& execution) const {
    const Preparations inside = preparations(0), last_row = preparations(shape_.output.h - 1);
    for_dense_maps(shape_, execution,
                   [&](int64_t map, int64_t end) { write_map(map, end, inside, last_row); });
  }

 private:
  // Of a row's whole vectors of windows, and of the rest, in which the last may hang over the end.
  struct Preparations {
    Vec<A> whole, rest;
  };
  Preparations preparations(int64_t row) const {
    Preparations of{};
    if constexpr (Op::kPrepares) {
      of.whole = op_.preparation(row, 0);
      for (int64_t l = 0; l < lanes<A>; ++l)
        of.rest[l] = op_.preparation(row, smaller(whole_ + l, shape_.output.w - 1))[0];
    }
    return of;
  }

  // A row of samples, as elements of the tensors: its first window, that window's first sample, and the
  // sample's position.
  struct Row {
    int64_t window, sample, tap;
  };

  // Whether a vector of windows is two rows of them, whose samples fill a vector each.
  static bool two_rows_fit(const Pool2dShape& shape) {
    return 2 * shape.output.w == lanes<A> && shape.input.w == lanes<A> && shape.output.h % 2 == 0 &&
           shape.output.h * shape.kernel.h <= shape.input.h;
  }

  // body(row, preparations) for the rows of a map's samples that windows have, of `rows` rows of
  // windows the first; clears the samples that have none.
  template <class Body>
  CNNOPS_INLINE void for_rows(int64_t map, int64_t rows, const Preparations& inside,
                              const Preparations& last_row, Body body) const {
    const int64_t size = shape_.input.h * shape_.input.w, last = (map + 1) * size;
    Row row{map * shape_.output.h * shape_.output.w, map * size, 0};
    for (int64_t p = 0; p < shape_.output.h; p += rows, row.window += rows * shape_.output.w) {
      for (int64_t r = 0; r < shape_.kernel.h && row.sample < last; ++r) {
        row.tap = 2 * r;
        body(row, p + 1 < shape_.output.h ? inside : last_row);
        row.sample += shape_.input.w;
      }
      row.sample += (rows - 1) * shape_.kernel.h * shape_.input.w;
    }
    fill_run(result_ + row.sample, T{}, last - row.sample);
  }

  void write_map(int64_t map, int64_t end, const Preparations& inside,
                 const Preparations& last_row) const {
    if (has_room_behind<A>(shape_, end - map - 1))
      return write_whole_vectors(map, inside, last_row);
    const int64_t windows = shape_.output.h * shape_.output.w;
    const int64_t size = shape_.input.h * shape_.input.w;
    for_rows(map, 1, inside, last_row, [&](const Row& row, const Preparations& of) {
      write_row(row, smaller(end * windows - row.window, (end * size - row.sample) / 2), of);
    });
  }

  // Vectors may hang over the end of the map. In a copy, whose members no store can change.
  __attribute__((noinline)) void write_whole_vectors(int64_t map, const Preparations& inside,
                                                     const Preparations& last_row) const {
    const PairGradients own = *this;
    const int64_t rows = own.rows_of_vector_;
    const int64_t step = rows == 1 ? lanes<A> : own.shape_.kernel.h * own.shape_.input.w;
    own.for_rows(map, rows, inside, last_row, [&](const Row& row, const Preparations& of) {
      int64_t q = 0;
      for (; q < own.whole_; q += lanes<A>) own.write_windows(own.op_, of.whole, row, q, step);
      for (; q < own.shape_.output.w; q += lanes<A>)
        own.write_windows(own.op_, of.rest, row, q, step);
      own.clear_rest(row);
    });
  }

  // `room` windows may be read, and two samples for each written, from here on.
  void write_row(Row row, int64_t room, Preparations of) const {
    const Op op = op_;
    const int64_t whole = whole_, windows = shape_.output.w, width = shape_.input.w;
    int64_t q = 0;
    for (; q < whole && q + lanes<A> <= room; q += lanes<A>)
      write_windows(op, of.whole, row, q, lanes<A>);
    for (; q < windows && q + lanes<A> <= room; q += lanes<A>)
      write_windows(op, of.rest, row, q, lanes<A>);
    for (; q < windows; q += lanes<A>) {
      const int64_t count = smaller(lanes<A>, windows - q);
      const int64_t samples = smaller(2 * lanes<A>, width - 2 * q);
      write_some(op, q < whole ? of.whole : of.rest, row, q, count, samples);
    }
    clear_rest(row);
  }

  // The column that no window has.
  CNNOPS_INLINE void clear_rest(const Row& row) const {
    const int64_t samples = 2 * shape_.output.w;
    if (samples < shape_.input.w) result_[row.sample + samples] = T{};
  }

  // A vector of windows from column q on, the samples of whose second half lie `step` behind those of
  // the first.
  CNNOPS_INLINE void write_windows(const Op& op, Vec<A> preparation, const Row& row, int64_t q,
                                   int64_t step) const {
    const int64_t window = row.window + q, sample = row.sample + 2 * q;
    Vec<A> second{}, low{}, high{};
    if constexpr (Op::kSources > 1) second = load_lanes<A>(second_ + window);
    if constexpr (Op::kOwn) low = load(own_ + sample), high = load(own_ + sample + step);
    turn_into_gradients(op, load(first_ + window), second, row.tap, preparation, low, high);
    store(result_ + sample, low);
    store(result_ + sample + step, high);
  }

  // Fewer windows than a vector has lanes, or fewer samples than they have.
  CNNOPS_INLINE void write_some(const Op& op, Vec<A> preparation, const Row& row, int64_t q,
                                int64_t windows, int64_t samples) const {
    const int64_t window = row.window + q, sample = row.sample + 2 * q;
    const int64_t before = smaller(lanes<A>, samples), behind = samples - before;
    Vec<A> second{}, low{}, high{};
    if constexpr (Op::kSources > 1) second = load_some_lanes<A>(second_ + window, windows);
    if constexpr (Op::kOwn) {
      low = load_partial(own_ + sample, before);
      if (behind > 0) high = load_partial(own_ + sample + lanes<A>, behind);
    }
    turn_into_gradients(op, load_partial(first_ + window, windows), second, row.tap, preparation,
                        low, high);
    store_partial(result_ + sample, low, before);
    if (behind > 0) store_partial(result_ + sample + lanes<A>, high, behind);
  }

  // `low` and `high` are the samples' own values, then their gradients.
  CNNOPS_INLINE static void turn_into_gradients(const Op& op, Vec<A> first, Vec<A> second,
                                                int64_t tap, Vec<A> preparation, Vec<A>& low,
                                                Vec<A>& high) {
    if constexpr (Op::kPrepares) op.prepare(first, second, preparation);
    const auto constants = op.constants(0, 0, 0);
    auto left = op.start(constants, even<A>(low, high));
    auto right = op.start(constants, odd<A>(low, high));
    op.template step<0>(left, first, second, tap);
    op.template step<0>(right, first, second, tap + 1);
    const Vec<A> of_left = op.value(left, constants), of_right = op.value(right, constants);
    low = interleave_low<A>(of_left, of_right);
    high = interleave_high<A>(of_left, of_right);
  }

  const Op op_;
  const Pool2dShape shape_;
  const int64_t whole_;  // windows in a row's whole vectors that do not hang over the end
  const int64_t rows_of_vector_;
  const T* first_;
  const Second* second_;
  const T* own_;
  T* result_;
};

}  // namespace cnnops::CNNOPS_TARGET
