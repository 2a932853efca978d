// Windows of contiguous maps: columns are in vectors, and read from prepared rows.
#pragma once

#include "window_rows.h"

namespace cnnops::CNNOPS_TARGET {

template <class Op>
class ColumnWindows {
 public:
  using A = typename Op::A;

  static void run(const WindowProblem& problem, const Op& op, const Execution& execution) {
    Arena arena(execution.workspace);
    RowLayout layout = measure_row_layout<A>(problem.axes);
    take_row_tables(layout, problem.axes, arena);
    fill_row_layout(problem.axes, layout);
    const ScratchBySlot scratch(execution, arena, [&](Arena& own) {
      return WindowScratch<A>(layout, problem.axes, Op::kOperands, own);
    });
    for (int64_t slot = 0; slot < execution.threads; ++slot) {
      const WindowScratch<A> own = scratch(slot);
      fill_run<int64_t>(own.tags, -1, own.kept_rows);
    }
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

  // Returns where among the kept rows the row is.
  int64_t prepare_row(const CorrelationAxis& h, int64_t y, int64_t block) const {
    const int64_t place = y / h.dilation % scratch_.kept_rows;
    const int64_t tag = (map_ * h.source + y) * layout_.blocks + block;
    if (scratch_.tags[place] == tag) return place;
    scratch_.tags[place] = tag;
    prepare(op_.first, y, block, scratch_.first + place * scratch_.row_size);
    if constexpr (Op::kOperands > 1)
      prepare(op_.second, y, block, scratch_.second + place * scratch_.row_size);
    if constexpr (Op::kOperands > 2)
      prepare(op_.third, y, block, scratch_.third + place * scratch_.row_size);
    return place;
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
      const int64_t place = prepare_row(*block.h, block.y + r * block.h->dilation, block.index);
      const int64_t tap_row = tap_of(*block.h, r) * problem_.kernel_columns;
      for (int64_t v = 0; v < vectors; ++v) {
        sweep_row<kSweep>(block, place * scratch_.row_size + v * lanes<A>, tap_row, states[v]);
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

}  // namespace cnnops::CNNOPS_TARGET
