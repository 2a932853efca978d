// Poolings by windows of two columns that tile dense NCHW maps, the commonest ones: neighbouring windows
// lie side by side in vectors, and a shuffle tells left samples from right ones; nothing is transposed.
//
// A task owns whole maps. What a vector writes behind its row is written again by the rows to come.
#pragma once

#include "ahead.h"
#include "blocking.h"
#include "pool2d_walk.h"
#include "shifts.h"
#include "vector_pairs.h"

namespace cnnops::CNNOPS_TARGET {

// Windows of two columns, side by side and one below the other without gaps.
inline bool has_pairs(const Pool2dProblem& problem) {
  return !problem.channels_last && problem.shape.kernel.w == 2 && windows_tile(problem.shape);
}

// Whether all that a gradient's functor reads lies so.
template <class Op>
bool reads_dense_maps(const Pool2dShape& shape, const PoolTensors<typename Op::A>& tensors) {
  for (int k = 0; k < Op::kSources; ++k)
    if (!is_dense(tensors.source[k].stride, shape.channels, shape.output)) return false;
  return !Op::kOwn || is_dense(tensors.own.stride, shape.channels, shape.input);
}

// Whether rows of windows fill most of a vector.
template <class A>
bool has_wide_rows(const Pool2dShape& shape) {
  return 4 * shape.output.w >= 3 * lanes<A>;
}
// Whether they fill half of one, which is enough for gradients: they write more than they read.
template <class A>
bool has_half_rows(const Pool2dShape& shape) {
  return 2 * shape.output.w >= lanes<A>;
}

// Whether a vector may hang over the end of a map that so many maps of its task follow.
template <class A>
bool has_room_behind(const Pool2dShape& shape, int64_t maps) {
  const int64_t windows = maps * shape.output.h * shape.output.w;
  const int64_t samples = maps * shape.input.h * shape.input.w;
  return smaller(windows, samples / 2) >= lanes<A>;
}

// body(map, end) for every map, where `end` is the end of the task's maps.
template <class Body>
void for_dense_maps(const Pool2dShape& shape, const Execution& execution, Body body) {
  constexpr int64_t kTaskSamples = 16384;
  const int64_t maps = shape.batch * shape.channels;
  const int64_t most = larger<int64_t>(1, kTaskSamples / (shape.input.h * shape.input.w));
  const Blocking runs = blocking(maps, most, 1);
  parallel(execution, runs.count, [&](int64_t run, int64_t) {
    const int64_t first = run * runs.size, end = smaller(first + runs.size, maps);
    for (int64_t map = first; map < end; ++map) body(map, end);
  });
}

// Runs a functor of pool2d_fold.h. T stores its values, Second its second result, if it has one.
template <class Op, class T, class Second>
class PoolPairs {
 public:
  using A = typename Op::A;

  // All windows have both columns; rows that leave much of a vector empty are left to others.
  static bool supports(const Pool2dProblem& problem, const PoolTensors<A>& tensors) {
    const Pool2dShape& shape = problem.shape;
    return has_pairs(problem) && 2 * shape.output.w <= shape.input.w && has_wide_rows<A>(shape) &&
           is_dense(tensors.source[0].stride, shape.channels, shape.input);
  }

  PoolPairs(const Pool2dProblem& problem, const Op& op, const PoolTensors<A>& tensors)
      : op_(op),
        shape_(problem.shape),
        source_(static_cast<const T*>(tensors.source[0].data)),
        first_(static_cast<T*>(tensors.result[0].data)),
        second_(static_cast<Second*>(tensors.result[1].data)) {}

  void run(const Execution& execution) const {
    const Constants inside = op_.constants(0, 0, 0);
    const Constants last_row = op_.constants(shape_.output.h - 1, 0, 0);
    for_dense_maps(shape_, execution,
                   [&](int64_t map, int64_t end) { write_map(map, end, inside, last_row); });
  }

 private:
  using State = typename Op::State;
  using Constants = typename Op::Constants;

  // A row of windows, as elements of the tensors: the first window, its first sample, and how many rows
  // of samples it has.
  struct Row {
    int64_t window, sample, rows;
  };

  // Vectors may hang over the end of a row, and over that of the map where maps of the task follow. In a
  // copy, whose members no store can change.
  __attribute__((noinline)) void write_map(int64_t map, int64_t end, const Constants& inside,
                                           const Constants& last_row) const {
    const PoolPairs own = *this;
    const Pair input = own.shape_.input, output = own.shape_.output;
    const int64_t last = output.h - 1, height = own.shape_.kernel.h;
    Row row{map * output.h * output.w, map * input.h * input.w, height};
    for (int64_t p = 0; p < last; ++p) {
      own.write_row(row, inside);
      row.window += output.w, row.sample += height * input.w;
    }
    row.rows = smaller(height, input.h - last * height);
    if (has_room_behind<A>(own.shape_, end - map - 1)) {
      own.write_row(row, last_row);
    } else {
      own.write_end(row, last_row);
    }
  }

  CNNOPS_INLINE void write_row(const Row& row, const Constants& constants) const {
    for (int64_t q = 0; q < shape_.output.w; q += lanes<A>) write_windows(constants, row, q);
  }

  // The same with no element behind the row.
  __attribute__((noinline)) void write_end(Row row, const Constants& constants) const {
    const int64_t columns = shape_.output.w;
    int64_t q = 0;
    for (; q + lanes<A> <= columns; q += lanes<A>) write_windows(constants, row, q);
    if (q < columns) write_some(constants, row, q, columns - q);
  }

  // A vector of windows from column q on.
  CNNOPS_INLINE void write_windows(const Constants& constants, const Row& row, int64_t q) const {
    const State state = fold(constants, row, q, [](const T* from) {
      for (int64_t i = 0; i < 2 * lanes<A>; i += kLineElements<T>) fetch_page_ahead(from + i);
      return Samples{load(from), load(from + lanes<A>)};
    });
    store(first_ + row.window + q, op_.value(state, constants));
    if constexpr (Op::kResults > 1) store_lanes<A>(second_ + row.window + q, op_.position(state));
  }

  // Fewer windows than a vector has lanes.
  CNNOPS_INLINE void write_some(const Constants& constants, const Row& row, int64_t q,
                                int64_t count) const {
    const int64_t behind = 2 * count - lanes<A>;
    const State state = fold(constants, row, q, [&](const T* from) {
      return Samples{load_partial(from, smaller(lanes<A>, 2 * count)),
                     behind > 0 ? load_partial(from + lanes<A>, behind) : Vec<A>{}};
    });
    store_partial(first_ + row.window + q, op_.value(state, constants), count);
    if constexpr (Op::kResults > 1)
      store_some_lanes<A>(second_ + row.window + q, op_.position(state), count);
  }

  // Two vectors of samples, which a vector of windows has in each row.
  struct Samples {
    Vec<A> low, high;
  };

  template <class Load>
  CNNOPS_INLINE State fold(const Constants& constants, const Row& row, int64_t q,
                           Load load_samples) const {
    const T* from = source_ + row.sample + 2 * q;
    State state = op_.start(constants, Vec<A>{});
    sweep<0>(from, row.rows, load_samples, state);
    if constexpr (Op::kSweeps == 2) {
      if (any<A>(op_.unsettled(state))) sweep<1>(from, row.rows, load_samples, state);
    }
    return state;
  }

  template <int kSweep, class Load>
  CNNOPS_INLINE void sweep(const T* from, int64_t rows, Load load_samples, State& state) const {
    for (int64_t r = 0; r < rows; ++r, from += shape_.input.w) {
      const Samples samples = load_samples(from);
      op_.template step<kSweep>(state, even<A>(samples.low, samples.high), Vec<A>{}, 2 * r);
      op_.template step<kSweep>(state, odd<A>(samples.low, samples.high), Vec<A>{}, 2 * r + 1);
    }
  }

  const Op op_;
  const Pool2dShape shape_;
  const T* source_;
  T* first_;
  Second* second_;
};

}  // namespace cnnops::CNNOPS_TARGET
