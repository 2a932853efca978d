// The one pooling loop: every result is a fold over the samples its window covers, each lane for
// itself, in the order of the taps. What differs between poolings is a functor `Op`:
// - A: the type it computes in; kSources tensors are read under the window (first, second), kResults
//   are written, and with kOwn one is read at the result's own position (own);
// - Constants, constants(row, column, tap): what a run of windows shares, from the result's position
//   and the position of the first tap inside the map;
// - State, start(constants, own): what a fold carries, in registers;
// - step<sweep>(state, first, second, tap): takes a sample in. Gradients also take a vector of taps;
// - kSweeps, and for two of them unsettled(state): the lanes whose windows have to be walked over again,
//   as those beside them are, too;
// - value(state, constants), position(state): the results;
// - kPrepares, and then preparation(row, column) and prepare(first, second, preparation): what is
//   done to the samples at a source position once, before any window reads them;
// - kBlank, with kHasBlank: a sample that changes no fold.
#pragma once

#include "ahead.h"
#include "pool2d_tile.h"

namespace cnnops::CNNOPS_TARGET {

// Defaults a functor starts from.
template <class Number>
struct PoolOp {
  using A = Number;
  static constexpr int kSources = 1, kResults = 1, kSweeps = 1;
  static constexpr bool kOwn = false, kPrepares = false;
  static constexpr bool kHasBlank = true;
  static constexpr Number kBlank = 0;

  struct Constants {};
  CNNOPS_INLINE Constants constants(int64_t, int64_t, int64_t) const { return {}; }
};

// The tiles of a block of results. Those of sources cover what the windows reach.
template <class A>
struct PoolTiles {
  Tile<A> source[2], own, result[2];
  int64_t vectors;  // of lanes, in each sample
  bool stream;      // result[0], past the caches
  bool fetch;       // source[0], ahead of its use
};

// The part of an axis of windows that belongs to results in [first, end).
CNNOPS_INLINE WindowRun clipped(WindowRun run, int64_t first, int64_t end) {
  if (run.first >= first && run.first + (run.count - 1) * run.step < end) return run;
  const int64_t skipped =
      run.first < first ? smaller(run.count, divide_up(first - run.first, run.step)) : 0;
  run.count = run.first < end ? smaller(run.count, divide_up(end - run.first, run.step)) : 0;
  run.count = larger<int64_t>(0, run.count - skipped);
  run.first += skipped * run.step;
  run.reach.source += skipped * run.stride;
  return run;
}

template <class Op>
class PoolFold {
 public:
  using A = typename Op::A;

  PoolFold(const Op& op, const PoolWindows& windows, const PoolTiles<A>& tiles)
      : op_(op), windows_(windows), tiles_(tiles) {}

  // All results of an area.
  void fold(const Area& area) const {
    for (int64_t y = area.row; y < area.row + area.rows; ++y) {
      for (int64_t r = 0; r < windows_.run_count; ++r) {
        const WindowRun run = clipped(windows_.runs[r], area.column, area.column + area.columns);
        if (run.count > 0) fold_run(y, run);
      }
    }
  }

  // One result of one vector, with its window in parts: for_parts(body) calls body(row, column) with
  // the reach of each part once the tiles of the sources hold it.
  template <class ForParts>
  void fold_in_parts(int64_t y, const WindowRun& run, ForParts for_parts) const {
    const Place place = place_of(y, run);
    const auto constants = constants_of(y, run);
    State state[1];
    start<1>(constants, place, {}, state);
    for_parts([&](const Reach& row, const Reach& column) {
      sweep<0, 1>(window_of(row, column), {}, state);
    });
    if constexpr (Op::kSweeps == 2) {
      if (any<A>(op_.unsettled(state[0]))) {
        for_parts([&](const Reach& row, const Reach& column) {
          sweep<1, 1>(window_of(row, column), {}, state);
        });
      }
    }
    finish<1>(constants, place, {}, state, false);
  }

 private:
  using State = typename Op::State;
  using Constants = typename Op::Constants;

  // A window's taps: where the first lies in the tiles, its position, and the way to the next.
  struct Window {
    const A* source[2];
    int64_t rows, columns;
    int64_t tap, tap_row, tap_column;
    int64_t row[2], column[2];
  };
  // The rows and columns at the end of a window that no window before it has read.
  struct Fresh {
    int64_t rows, columns;
  };
  // Where a result and its own sample lie.
  struct Place {
    const A* own;
    A* result[2];
  };
  // From one result of a series to the next, in elements.
  struct Step {
    int64_t source[2], own, result[2];
  };

  Constants constants_of(int64_t y, const WindowRun& run) const {
    return op_.constants(y, run.first, position(windows_.rows[y], run.reach));
  }
  int64_t position(const Reach& row, const Reach& column) const {
    return row.tap * windows_.kernel_columns + column.tap;
  }

  Window window_of(const Reach& row, const Reach& column) const {
    if (row.taps == 0 || column.taps == 0) return {};
    Window window;
    window.rows = row.taps;
    window.columns = column.taps;
    window.tap = position(row, column);
    window.tap_row = windows_.tap_step.h * windows_.kernel_columns;
    window.tap_column = windows_.tap_step.w;
    for (int k = 0; k < 2; ++k) {
      const Tile<A>& tile = tiles_.source[k < Op::kSources ? k : 0];
      window.source[k] = tile.at(row.source, column.source);
      window.row[k] = windows_.dilation.h * tile.row;
      window.column[k] = windows_.dilation.w * tile.column;
    }
    return window;
  }

  Place place_of(int64_t y, const WindowRun& run) const {
    Place place{};
    if constexpr (Op::kOwn) place.own = tiles_.own.at(y, run.first);
    for (int k = 0; k < Op::kResults; ++k) place.result[k] = tiles_.result[k].at(y, run.first);
    return place;
  }

  Step step_of(const WindowRun& run) const {
    Step step{};
    for (int k = 0; k < Op::kSources; ++k) step.source[k] = run.stride * tiles_.source[k].column;
    if constexpr (Op::kOwn) step.own = run.step * tiles_.own.column;
    for (int k = 0; k < Op::kResults; ++k) step.result[k] = run.step * tiles_.result[k].column;
    return step;
  }

  void fold_run(int64_t y, const WindowRun& run) const {
    const Window window = window_of(windows_.rows[y], run.reach);
    if (Op::kSweeps == 1 && window.rows == 1 && window.columns == 1) {
      fold_run<true>(y, run, window);
    } else {
      fold_run<false>(y, run, window);
    }
  }

  // Neighbours in a series are the results of the run or, where samples have several vectors, these.
  template <bool kOneTap>
  void fold_run(int64_t y, const WindowRun& run, const Window& window) const {
    const Constants constants = constants_of(y, run);
    const Place place = place_of(y, run);
    const Step next = step_of(run);
    if (tiles_.vectors == 1) {
      fold_results<kOneTap>(constants, window, place, next, run.count);
    } else {
      fold_lanes<kOneTap>(constants, window, place, next, run.count,
                          tiles_.fetch ? fresh_of(y, run) : Fresh{});
    }
  }

  // In both everything is passed by value: what is stored could otherwise change it, and it would be
  // read again after every store.
  template <bool kOneTap>
  __attribute__((noinline)) void fold_results(Constants constants, Window window, Place place,
                                              Step next, int64_t count) const {
    fold_series<kOneTap>(constants, window, place, next, count, Fresh{}, kStreams && tiles_.stream);
  }
  template <bool kOneTap>
  __attribute__((noinline)) void fold_lanes(Constants constants, Window window, Place place,
                                            Step next, int64_t count, Fresh fresh) const {
    constexpr Step kNextLanes{{lanes<A>, lanes<A>}, lanes<A>, {lanes<A>, lanes<A>}};
    const int64_t vectors = tiles_.vectors;
    const bool stream = kStreams && tiles_.stream;
    for (; count > 0; --count) {
      fold_series<kOneTap>(constants, window, place, kNextLanes, vectors, fresh, stream);
      move(window, place, next, 1);
    }
  }

  Fresh fresh_of(int64_t y, const WindowRun& run) const {
    const Reach& row = windows_.rows[y];
    if (y == 0) return {row.taps, smaller(run.stride, run.reach.taps)};
    const Reach& before = windows_.rows[y - 1];
    const int64_t rows = row.source + row.taps - before.source - before.taps;
    return {smaller(row.taps, rows), smaller(run.stride, run.reach.taps)};
  }

  // Fetches what the windows a page further on are the first to read.
  template <int64_t kCount>
  CNNOPS_INLINE static void fetch_ahead(const Window& window, const Fresh& fresh) {
    const A* row = window.source[0] + (window.rows - fresh.rows) * window.row[0];
    for (int64_t r = 0; r < fresh.rows; ++r, row += window.row[0]) {
      const A* column = row;
      for (int64_t s = 0; s < fresh.columns; ++s, column += window.column[0])
#pragma GCC unroll 4
        for (int64_t i = 0; i < kCount * lanes<A>; i += kLineElements<A>)
          fetch_page_ahead(column + i);
    }
  }

  // Windows of one tap are those of gradients where windows do not overlap.
  template <bool kOneTap>
  CNNOPS_INLINE void fold_series(const Constants& constants, Window window, Place place,
                                 const Step& next, int64_t count, const Fresh& fresh,
                                 bool stream) const {
    if constexpr (kOneTap) {
      for (; count > 0; --count) {
        State state[1];
        start<1>(constants, place, next, state);
        Vec<A> other{};
        if constexpr (Op::kSources > 1) other = load(window.source[1]);
        op_.template step<0>(state[0], load(window.source[0]), other, window.tap);
        finish<1>(constants, place, next, state, stream);
        move(window, place, next, 1);
      }
    } else {
      fold_blocks<4>(constants, window, place, next, count, fresh, stream);
      fold_blocks<2>(constants, window, place, next, count, fresh, stream);
      fold_blocks<1>(constants, window, place, next, count, fresh, stream);
    }
  }

  // As many whole blocks of the series as `count` holds. The results of a block share a window's
  // addresses and hide each other's latency.
  template <int64_t kCount>
  CNNOPS_INLINE void fold_blocks(const Constants& constants, Window& window, Place& place,
                                 const Step& next, int64_t& count, const Fresh& fresh,
                                 bool stream) const {
    for (; count >= kCount; count -= kCount) {
      fetch_ahead<kCount>(window, fresh);
      fold_block<kCount>(constants, window, place, next, stream);
      move(window, place, next, kCount);
    }
  }

  CNNOPS_INLINE static void move(Window& window, Place& place, const Step& step, int64_t count) {
    for (int k = 0; k < Op::kSources; ++k) window.source[k] += count * step.source[k];
    if constexpr (Op::kOwn) place.own += count * step.own;
    for (int k = 0; k < Op::kResults; ++k) place.result[k] += count * step.result[k];
  }

  template <int64_t kCount>
  CNNOPS_INLINE void fold_block(const Constants& constants, const Window& window,
                                const Place& place, const Step& next, bool stream) const {
    State states[kCount];
    start<kCount>(constants, place, next, states);
    sweep<0, kCount>(window, next, states);
    if constexpr (Op::kSweeps == 2) {
      Ints<A> unsettled{};
#pragma GCC unroll 4
      for (int64_t i = 0; i < kCount; ++i) unsettled |= op_.unsettled(states[i]);
      if (any<A>(unsettled)) sweep<1, kCount>(window, next, states);
    }
    finish<kCount>(constants, place, next, states, stream);
  }

  template <int64_t kCount>
  CNNOPS_INLINE void start(const Constants& constants, const Place& place, const Step& next,
                           State* states) const {
#pragma GCC unroll 4
    for (int64_t i = 0; i < kCount; ++i) {
      Vec<A> own{};
      if constexpr (Op::kOwn) own = load(place.own + i * next.own);
      states[i] = op_.start(constants, own);
    }
  }

  template <int64_t kCount>
  CNNOPS_INLINE void finish(const Constants& constants, const Place& place, const Step& next,
                            State* states, bool streamed) const {
#pragma GCC unroll 4
    for (int64_t i = 0; i < kCount; ++i) {
      A* to = place.result[0] + i * next.result[0];
      const Vec<A> value = op_.value(states[i], constants);
      if (streamed) {
        stream(to, value);
      } else {
        store(to, value);
      }
      if constexpr (Op::kResults > 1)
        store(place.result[1] + i * next.result[1], op_.position(states[i]));
    }
  }

  template <int kSweep, int64_t kCount>
  CNNOPS_INLINE void sweep(const Window& window, const Step& next, State* states) const {
    const A *first_row = window.source[0], *second_row = window.source[1];
    int64_t tap_row = window.tap;
    for (int64_t r = 0; r < window.rows; ++r) {
      const A *first = first_row, *second = second_row;
      int64_t tap = tap_row;
      for (int64_t s = 0; s < window.columns; ++s) {
#pragma GCC unroll 4
        for (int64_t i = 0; i < kCount; ++i) {
          Vec<A> other{};
          if constexpr (Op::kSources > 1) other = load(second + i * next.source[1]);
          op_.template step<kSweep>(states[i], load(first + i * next.source[0]), other, tap);
        }
        first += window.column[0];
        if constexpr (Op::kSources > 1) second += window.column[1];
        tap += window.tap_column;
      }
      first_row += window.row[0];
      if constexpr (Op::kSources > 1) second_row += window.row[1];
      tap_row += window.tap_row;
    }
  }

  const Op& op_;
  const PoolWindows& windows_;
  const PoolTiles<A>& tiles_;
};

// Prepares what the tiles of the sources hold.
template <class Op>
void prepare_tiles(const Op& op, const PoolTiles<typename Op::A>& tiles) {
  using A = typename Op::A;
  const Area& area = tiles.source[0].area;
  for (int64_t y = area.row; y < area.row + area.rows; ++y) {
    for (int64_t x = area.column; x < area.column + area.columns; ++x) {
      const auto preparation = op.preparation(y, x);
      A* first = tiles.source[0].at(y, x);
      A* second = Op::kSources > 1 ? tiles.source[1].at(y, x) : nullptr;
      for (int64_t i = 0; i < tiles.vectors * lanes<A>; i += lanes<A>) {
        Vec<A> a = load(first + i), b{};
        if constexpr (Op::kSources > 1) b = load(second + i);
        op.prepare(a, b, preparation);
        store(first + i, a);
        if constexpr (Op::kSources > 1) store(second + i, b);
      }
    }
  }
}

}  // namespace cnnops::CNNOPS_TARGET
