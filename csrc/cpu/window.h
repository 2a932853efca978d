// Window operations: every result is a fold over the source samples its window covers, each channel
// for itself. Pooling forward and backward and the depthwise convolution differ only in what an
// operation does with a sample.
//
// An operation `Op` is a struct with
//   A                        the type it computes in
//   first, second, third     the operands read at each sample of a window (Values, Offsets or
//   Nothing) own                      the operand read at the result's own position result, extra
//   what is written at that position (ValueResult, OffsetResult or NoResult) State what a fold
//   carries, in registers start(own) -> State, step<sweep>(state, samples, tap, factor),
//   turn(state) between sweeps, finish(state, own) value(state), more(state)  the result and the
//   extra result, after finish factor(tap, channel, Lanes)  a weight of the tap, for the lanes of a
//   vector kOperands, kSweeps, kHasExtra  how many operands a sample has, how often a window is
//   walked over, whether there is
//                            an extra result
//
// channels_last puts channels into vectors, so any stride, padding or dilation is a matter of
// addresses. Contiguous maps put columns into vectors: the source rows of a window are first copied
// to scratch memory, widened, padded with `outside`, and split by residue modulo the stride, after
// which each tap is a contiguous load.
//
// A task is one row of the result: it shares nothing it writes, and every result is folded in the
// order of its taps.
#pragma once

#include "operand_lanes.h"

namespace cnnops::CNNOPS_TARGET {

struct WindowProblem {
  int64_t batch, channels;
  Pair result;  // rows and columns of the result; those that no lattice covers get the result of an
                // empty window
  Lattices axes;
  int64_t kernel_columns;  // a tap's index is row * kernel_columns + column
};

struct ChannelLanes {};
struct ColumnLanes {};

CNNOPS_INLINE int64_t tap_of(const CorrelationAxis& axis, int64_t t) {
  return axis.tap_first + t * axis.tap_step;
}

// The samples of one tap, at most one an operand.
template <class A>
struct Samples {
  Vec<A> first, second, third;
};

// The lattice a row belongs to and its place there; null where no window covers the row.
struct RowPlace {
  const CorrelationAxis* axis;
  int64_t index;
};
CNNOPS_INLINE RowPlace find_row(const Lattices& axes, int64_t row) {
  for (const CorrelationAxis& axis : axes.rows) {
    const int64_t beyond = row - axis.first;
    if (beyond >= 0 && beyond % axis.step == 0 && beyond / axis.step < axis.count)
      return {&axis, beyond / axis.step};
  }
  return {nullptr, 0};
}

// ---- channels_last ----

template <class Op>
class ChannelWindows {
 public:
  using A = typename Op::A;

  static void run(const WindowProblem& problem, const Op& op, const Execution& execution) {
    const bool columns_covered = covers(problem.axes.columns, problem.result.w);
    parallel(execution, problem.batch * problem.result.h, [&](int64_t task, int64_t) {
      const ChannelWindows row(problem, op, task / problem.result.h, task % problem.result.h);
      row.fold(columns_covered);
    });
  }

 private:
  // A window's taps that lie inside the source, and where the first of them reads.
  struct Window {
    const CorrelationAxis *h, *w;
    int64_t y, x;
    Range rows, columns;
  };

  ChannelWindows(const WindowProblem& problem, const Op& op, int64_t image, int64_t row)
      : problem_(problem), op_(op), image_(image), row_(row) {}

  void fold(bool columns_covered) const {
    static constexpr CorrelationAxis kEmpty{};
    const RowPlace place = find_row(problem_.axes, row_);
    if (place.axis == nullptr || !columns_covered) {
      for (int64_t w = 0; w < problem_.result.w; ++w)
        fold_pixel({&kEmpty, &kEmpty, 0, 0, {0, 0}, {0, 0}}, w);
    }
    if (place.axis == nullptr) return;
    const CorrelationAxis& h = *place.axis;
    const int64_t y = place.index * h.stride + h.offset;
    const Range rows = inside(h.taps, h.dilation, y, h.source);
    for (const CorrelationAxis& w : problem_.axes.columns) {
      for (int64_t j = 0; j < w.count; ++j) {
        const int64_t x = j * w.stride + w.offset;
        fold_pixel({&h, &w, y, x, rows, inside(w.taps, w.dilation, x, w.source)},
                   w.first + j * w.step);
      }
    }
  }

  void fold_pixel(const Window& window, int64_t column) const {
    int64_t c = 0;
    for (; c + lanes<A> <= problem_.channels; c += lanes<A>)
      fold_channels(window, column, c, lanes<A>);
    if (c < problem_.channels) fold_channels(window, column, c, problem_.channels - c);
  }

  CNNOPS_INLINE void fold_channels(const Window& window, int64_t column, int64_t c,
                                   int64_t count) const {
    const Vec<A> own =
        op_.own.fetch(at(op_.own.stride, image_, c, row_, column), op_.own.stride.c, count);
    typename Op::State state = op_.start(own);
    sweep<0>(window, c, count, state);
    if constexpr (Op::kSweeps == 2) {
      op_.turn(state);
      sweep<1>(window, c, count, state);
    }
    op_.finish(state, own);
    op_.result.put(at(op_.result.stride, image_, c, row_, column), op_.value(state), count);
    op_.extra.put(at(op_.extra.stride, image_, c, row_, column), op_.more(state), count);
  }

  template <int kSweep>
  CNNOPS_INLINE void sweep(const Window& window, int64_t c, int64_t count,
                           typename Op::State& state) const {
    const int64_t x = window.x + window.columns.first * window.w->dilation;
    for (int64_t r = window.rows.first; r < window.rows.last; ++r) {
      const int64_t y = window.y + r * window.h->dilation;
      int64_t tap =
          tap_of(*window.h, r) * problem_.kernel_columns + tap_of(*window.w, window.columns.first);
      int64_t first = at(op_.first.stride, image_, c, y, x);
      int64_t second = at(op_.second.stride, image_, c, y, x);
      int64_t third = at(op_.third.stride, image_, c, y, x);
      for (int64_t s = window.columns.first; s < window.columns.last; ++s) {
        const Samples<A> samples{op_.first.fetch(first, op_.first.stride.c, count),
                                 op_.second.fetch(second, op_.second.stride.c, count),
                                 op_.third.fetch(third, op_.third.stride.c, count)};
        op_.template step<kSweep>(state, samples, tap, op_.factor(tap, c, ChannelLanes{}));
        first += window.w->dilation * op_.first.stride.w;
        second += window.w->dilation * op_.second.stride.w;
        third += window.w->dilation * op_.third.stride.w;
        tap += window.w->tap_step;
      }
    }
  }

  const WindowProblem& problem_;
  const Op op_;
  int64_t image_, row_;
};

// ---- contiguous ----

// How source rows lie in scratch memory: one array for each residue modulo the stride that a tap
// needs, each `length` samples; index m of the array of residue f holds source column (low + block
// + m) * stride + f.
struct RowLayout {
  int64_t columns;  // results of a block of columns
  int64_t blocks;
  int64_t stride, low, length;
  int64_t residue_count;
  int64_t* residues;
  int64_t* tap_base;  // of each lattice's taps, one lattice after another: array * length + index
                      // for result 0

  int64_t row_size() const { return residue_count * length; }
};

inline constexpr int64_t kBlockColumns = 2048;

CNNOPS_INLINE int64_t total_taps(const Lattices& axes) {
  int64_t taps = 0;
  for (const CorrelationAxis& axis : axes.columns) taps += axis.taps;
  return taps;
}

// Source rows that one window can need.
CNNOPS_INLINE int64_t most_source_rows(const Lattices& axes) {
  int64_t rows = 0;
  for (const CorrelationAxis& axis : axes.rows)
    rows = larger(rows, smaller(axis.taps, axis.source));
  return rows;
}

// Sizes alone; the residues and bases are filled by fill_row_layout.
template <class A>
RowLayout measure_row_layout(const Lattices& axes) {
  RowLayout layout{};
  layout.stride = axes.columns.empty() ? 1 : axes.columns[0].stride;
  int64_t low = INT64_MAX, high = INT64_MIN, most = 0;
  for (const CorrelationAxis& axis : axes.columns) {
    const int64_t first = divide_down(axis.offset, layout.stride);
    const int64_t last = divide_down(axis.offset + (axis.taps - 1) * axis.dilation, layout.stride);
    low = smaller(low, first);
    high = larger(high, last);
    most = larger(most, axis.count);
  }
  layout.columns = round_up(smaller(most, kBlockColumns), lanes<A>);
  layout.blocks = most > 0 ? divide_up(most, layout.columns) : 0;
  layout.low = low;
  layout.length = most > 0 ? high - low + layout.columns : 0;
  layout.residue_count = smaller(layout.stride, total_taps(axes));
  return layout;
}

CNNOPS_INLINE void fill_row_layout(const Lattices& axes, RowLayout& layout) {
  int64_t known = 0, tap = 0;
  for (const CorrelationAxis& axis : axes.columns) {
    for (int64_t t = 0; t < axis.taps; ++t, ++tap) {
      const int64_t x = axis.offset + t * axis.dilation;
      const int64_t index = divide_down(x, layout.stride), residue = x - index * layout.stride;
      int64_t array = 0;
      while (array < known && layout.residues[array] != residue) ++array;
      if (array == known) layout.residues[known++] = residue;
      layout.tap_base[tap] = array * layout.length + index - layout.low;
    }
  }
  layout.residue_count = known;
}

// Prepared rows that are kept for the next windows, and vectors a State may have.
inline constexpr int64_t kKeptRows = 8, kStateVectors = 4;

// Scratch memory of one thread: a cache of prepared rows; the states, own samples and results of a
// block.
template <class A>
struct WindowScratch {
  int64_t slots, row_size;
  int64_t* tags;  // which source row a slot holds
  A *first, *second, *third;
  A *states, *own, *result, *extra;

  WindowScratch(const RowLayout& layout, const Lattices& axes, int operands, Arena& arena)
      : slots(smaller(most_source_rows(axes), kKeptRows)),
        row_size(layout.row_size()),
        tags(arena.take<int64_t>(slots)) {
    first = arena.take<A>(slots * row_size);
    second = arena.take<A>(operands > 1 ? slots * row_size : 0);
    third = arena.take<A>(operands > 2 ? slots * row_size : 0);
    states = arena.take<A>(kStateVectors * layout.columns);
    own = arena.take<A>(layout.columns);
    result = arena.take<A>(layout.columns);
    extra = arena.take<A>(layout.columns);
  }
};

template <class A>
void take_row_tables(RowLayout& layout, const Lattices& axes, Arena& arena) {
  layout.residues = arena.take<int64_t>(layout.residue_count);
  layout.tap_base = arena.take<int64_t>(total_taps(axes));
}

template <class A>
int64_t window_workspace(const Lattices& axes, int operands, int64_t threads) {
  RowLayout layout = measure_row_layout<A>(axes);
  Arena arena;
  take_row_tables<A>(layout, axes, arena);
  const int64_t shared = arena.size();
  WindowScratch<A>(layout, axes, operands, arena);
  return shared + threads * (arena.size() - shared);
}

template <class Op>
class ColumnWindows {
 public:
  using A = typename Op::A;

  static void run(const WindowProblem& problem, const Op& op, const Execution& execution) {
    Arena arena(execution.workspace);
    RowLayout layout = measure_row_layout<A>(problem.axes);
    take_row_tables<A>(layout, problem.axes, arena);
    const int64_t shared = arena.size();
    Arena measure;
    const WindowScratch<A> sizes(layout, problem.axes, Op::kOperands, measure);
    const auto scratch = [&](int64_t slot) {
      Arena own(execution.workspace + shared + slot * measure.size());
      return WindowScratch<A>(layout, problem.axes, Op::kOperands, own);
    };
    for (int64_t slot = 0; slot < execution.threads; ++slot)
      fill_run<int64_t>(scratch(slot).tags, -1, sizes.slots);
    fill_row_layout(problem.axes, layout);
    const bool columns_covered = covers(problem.axes.columns, problem.result.w);
    parallel(execution, problem.batch * problem.channels * problem.result.h,
             [&](int64_t task, int64_t slot) {
               const int64_t map = task / problem.result.h;
               const ColumnWindows row(problem, op, layout, scratch(slot), map,
                                       task % problem.result.h);
               row.fold(columns_covered);
             });
  }

 private:
  ColumnWindows(const WindowProblem& problem, const Op& op, const RowLayout& layout,
                const WindowScratch<A>& scratch, int64_t map, int64_t row)
      : problem_(problem),
        op_(op),
        layout_(layout),
        scratch_(scratch),
        map_(map),
        image_(map / problem.channels),
        channel_(map % problem.channels),
        row_(row) {}

  void fold(bool columns_covered) const {
    const RowPlace place = find_row(problem_.axes, row_);
    if (place.axis == nullptr || !columns_covered) fold_nothing();
    if (place.axis == nullptr) return;
    const CorrelationAxis& h = *place.axis;
    const int64_t y = place.index * h.stride + h.offset;
    const Range rows = inside(h.taps, h.dilation, y, h.source);
    for (int64_t block = 0; block < layout_.blocks; ++block) {
      const int64_t* tap_base = layout_.tap_base;
      for (const CorrelationAxis& w : problem_.axes.columns) {
        const int64_t first = block * layout_.columns;
        const int64_t count = smaller(layout_.columns, w.count - first);
        if (count > 0)
          fold_block({&h, &w, y, rows, block, w.first + first * w.step, count, tap_base});
        tap_base += w.taps;
      }
    }
  }

  // The whole row as if no window covered it.
  void fold_nothing() const {
    for (int64_t w = 0; w < problem_.result.w; ++w) {
      const Vec<A> own = op_.own.fetch(at(op_.own.stride, image_, channel_, row_, w), 1, 1);
      typename Op::State state = op_.start(own);
      op_.finish(state, own);
      op_.result.put(at(op_.result.stride, image_, channel_, row_, w), op_.value(state), 1);
      op_.extra.put(at(op_.extra.stride, image_, channel_, row_, w), op_.more(state), 1);
    }
  }

  // Returns the slot that holds the row.
  int64_t prepare_row(const CorrelationAxis& h, int64_t y, int64_t block) const {
    const int64_t slot = y / h.dilation % scratch_.slots;
    const int64_t tag = (map_ * h.source + y) * layout_.blocks + block;
    if (scratch_.tags[slot] == tag) return slot;
    scratch_.tags[slot] = tag;
    prepare(op_.first, y, block, scratch_.first + slot * scratch_.row_size);
    if constexpr (Op::kOperands > 1)
      prepare(op_.second, y, block, scratch_.second + slot * scratch_.row_size);
    if constexpr (Op::kOperands > 2)
      prepare(op_.third, y, block, scratch_.third + slot * scratch_.row_size);
    return slot;
  }

  template <class Operand>
  CNNOPS_INLINE void prepare(const Operand& operand, int64_t y, int64_t block, A* to) const {
    const int64_t columns = problem_.axes.columns[0].source;
    const int64_t row = at(operand.stride, image_, channel_, y, 0);
    for (int64_t f = 0; f < layout_.residue_count; ++f, to += layout_.length) {
      const int64_t x =
          (layout_.low + block * layout_.columns) * layout_.stride + layout_.residues[f];
      const Range valid = inside(layout_.length, layout_.stride, x, columns);
      fill_run(to, operand.outside, valid.first);
      operand.fetch_run(row + (x + valid.first * layout_.stride) * operand.stride.w,
                        layout_.stride * operand.stride.w, to + valid.first,
                        valid.last - valid.first);
      fill_run(to + valid.last, operand.outside, layout_.length - valid.last);
    }
  }

  // A block of a row's results, on one lattice.
  struct Block {
    const CorrelationAxis *h, *w;
    int64_t y;  // source row of tap row 0
    Range rows;
    int64_t index, column, count;
    const int64_t* tap_base;
  };

  void fold_block(const Block& block) const {
    using State = typename Op::State;
    static_assert(sizeof(State) <= kStateVectors * sizeof(Vec<A>));
    State* states = reinterpret_cast<State*>(scratch_.states);
    const int64_t vectors = divide_up(block.count, lanes<A>);
    op_.own.fetch_run(at(op_.own.stride, image_, channel_, row_, block.column),
                      block.w->step * op_.own.stride.w, scratch_.own, block.count);
    for (int64_t v = 0; v < vectors; ++v) states[v] = op_.start(load(scratch_.own + v * lanes<A>));
    sweep<0>(block, states, vectors);
    if constexpr (Op::kSweeps == 2) {
      for (int64_t v = 0; v < vectors; ++v) op_.turn(states[v]);
      sweep<1>(block, states, vectors);
    }
    for (int64_t v = 0; v < vectors; ++v) {
      op_.finish(states[v], load(scratch_.own + v * lanes<A>));
      store(scratch_.result + v * lanes<A>, op_.value(states[v]));
      if constexpr (Op::kHasExtra) store(scratch_.extra + v * lanes<A>, op_.more(states[v]));
    }
    op_.result.put_run(at(op_.result.stride, image_, channel_, row_, block.column),
                       block.w->step * op_.result.stride.w, scratch_.result, block.count);
    op_.extra.put_run(at(op_.extra.stride, image_, channel_, row_, block.column),
                      block.w->step * op_.extra.stride.w, scratch_.extra, block.count);
  }

  template <int kSweep>
  void sweep(const Block& block, typename Op::State* states, int64_t vectors) const {
    for (int64_t r = block.rows.first; r < block.rows.last; ++r) {
      const int64_t slot = prepare_row(*block.h, block.y + r * block.h->dilation, block.index);
      const int64_t tap_row = tap_of(*block.h, r) * problem_.kernel_columns;
      for (int64_t v = 0; v < vectors; ++v) {
        sweep_row<kSweep>(block, slot * scratch_.row_size + v * lanes<A>, tap_row, states[v]);
      }
    }
  }

  template <int kSweep>
  CNNOPS_INLINE void sweep_row(const Block& block, int64_t row, int64_t tap_row,
                               typename Op::State& kept) const {
    typename Op::State state = kept;
    int64_t tap = tap_row + block.w->tap_first;
    for (int64_t t = 0; t < block.w->taps; ++t, tap += block.w->tap_step) {
      const int64_t from = row + block.tap_base[t];
      Samples<A> samples{load(scratch_.first + from), Vec<A>{}, Vec<A>{}};
      if constexpr (Op::kOperands > 1) samples.second = load(scratch_.second + from);
      if constexpr (Op::kOperands > 2) samples.third = load(scratch_.third + from);
      op_.template step<kSweep>(state, samples, tap, op_.factor(tap, channel_, ColumnLanes{}));
    }
    kept = state;
  }

  const WindowProblem& problem_;
  const Op op_;
  const RowLayout& layout_;
  const WindowScratch<A> scratch_;
  int64_t map_, image_, channel_, row_;
};

template <class Op>
void run_windows(const WindowProblem& problem, const Op& op, bool channels_last,
                 const Execution& execution) {
  if (channels_last) {
    ChannelWindows<Op>::run(problem, op, execution);
  } else {
    ColumnWindows<Op>::run(problem, op, execution);
  }
}

}  // namespace cnnops::CNNOPS_TARGET
