// Windows of channels_last maps: channels are in vectors, so any stride, padding or dilation is a
// matter of addresses.
#pragma once

#include "window_problem.h"

namespace cnnops::CNNOPS_TARGET {

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

}  // namespace cnnops::CNNOPS_TARGET
