// The weight gradient of channels_last tensors where few channels meet. The samples of a window's row
// follow each other there, so that all windows of a row are a matrix whose rows overlap, and nothing
// is gathered:
//
//   grad_weight(o, r, k) = sum_{i, j} grad_output(i, j, o) * row(i, r)[j * stride * channels + k]
//
// k counts (filter column, input channel); row(i, r) is the input's row that output row i meets in
// filter row r, padded with zeros. A task owns a run of output rows of all images. The runs give
// partial sums, which are added in order.
#pragma once

#include "correlation_plan.h"
#include "weight_grad_plan.h"

namespace cnnops::CNNOPS_TARGET {

// The sums of a task, at most: they stay in the L2 cache.
inline constexpr int64_t kWindowSums = 65536;

// Whether a weight gradient is made of them: channels fill vectors, and there are not too many sums.
CNNOPS_INLINE bool has_window_rows(const Conv2dProblem& problem) {
  const Conv2dShape& shape = problem.shape;
  return problem.channels_last && shape.groups == 1 && shape.dilation.w == 1 &&
         shape.out_channels >= lanes<float> &&
         shape.kernel.h * shape.kernel.w * shape.in_channels *
                 round_up(shape.out_channels, lanes<float>) <=
             kWindowSums;
}

class WindowRowsPlan {
 public:
  template <class T>
  explicit WindowRowsPlan(const WeightGradOperands<T>& operands)
      : window(operands.reduce() * operands.shape.kernel.w),
        produce(round_up(operands.produce(), lanes<Accumulate<T>>)),
        step(operands.shape.stride.w * operands.reduce()),
        row((operands.shape.output.w - 1) * step + window),
        sums(operands.shape.kernel.h * window * produce) {
    const int64_t rows = operands.shape.batch * operands.shape.output.h;
    const int64_t worthwhile = rows * operands.shape.output.w / kRunPixels;
    const int64_t affordable =
        kPartialBytes / int64_t(sizeof(Accumulate<T>)) / larger<int64_t>(1, sums);
    const int64_t wanted = smaller(kBatchTasks, smaller(worthwhile, affordable));
    runs = blocking(larger<int64_t>(1, rows),
                    larger<int64_t>(1, divide_up(rows, larger<int64_t>(1, wanted))), 1);
  }

  int64_t window;   // elements of a window's row
  int64_t produce;  // output channels in whole vectors
  int64_t step;     // elements from a window to the next
  int64_t row;      // elements of a padded row
  int64_t sums;     // of a task: [filter row][k][produce]
  Blocking runs;    // of the output rows of all images
};

template <class T>
class WindowRowsWeightGrad {
 public:
  using A = Accumulate<T>;

  explicit WindowRowsWeightGrad(const WeightGradOperands<T>& operands)
      : operands_(operands), plan_(operands) {}

  int64_t workspace(int64_t threads) const {
    Arena arena;
    take_partials(arena);
    return workspace_bytes(arena, threads, [&](Arena& own) { return Scratch(*this, own); });
  }

  void run(const Execution& execution) const {
    Arena arena(execution.workspace);
    A* const partials = take_partials(arena);
    const ScratchBySlot scratch(execution, arena, [&](Arena& own) { return Scratch(*this, own); });
    parallel(execution, plan_.runs.count, [&](int64_t run, int64_t slot) {
      accumulate(run, scratch(slot), partials + run * plan_.sums);
    });
    add_runs(partials, plan_.sums, plan_.runs.count, plan_.sums);
    write(partials);
  }

 private:
  struct Scratch {
    A *row, *gradients;

    Scratch(const WindowRowsWeightGrad& gradient, Arena& arena)
        : row(arena.take<A>(gradient.plan_.row)),
          gradients(arena.take<A>(gradient.operands_.shape.output.w * gradient.plan_.produce)) {}
  };

  A* take_partials(Arena& arena) const { return arena.take<A>(plan_.runs.count * plan_.sums); }

  void accumulate(int64_t run, const Scratch& scratch, A* sums) const {
    const Conv2dShape& shape = operands_.shape;
    fill_run(sums, A(0), plan_.sums);
    const int64_t rows = shape.batch * shape.output.h, first = run * plan_.runs.size;
    for (int64_t row = first; row < smaller(rows, first + plan_.runs.size); ++row)
      add_row(row / shape.output.h, row % shape.output.h, scratch, sums);
  }

  // Rows of windows that lie in the padding add nothing.
  void add_row(int64_t image, int64_t i, const Scratch& scratch, A* sums) const {
    const CorrelationAxis& h = operands_.lattice.h;
    const PixelRows<A> gradients = find_gradients(image, i, scratch.gradients);
    for (int64_t r = 0; r < h.taps; ++r) {
      const int64_t y = i * h.stride + h.offset + r * h.dilation;
      if (y < 0 || y >= h.source) continue;
      copy_row(image, y, scratch.row);
      add_windows(gradients, scratch.row, sums + r * plan_.window * plan_.produce);
    }
  }

  void add_windows(const PixelRows<A>& gradients, const A* row, A* sums) const {
    const int64_t columns = operands_.shape.output.w;
    for (int64_t j = 0; j < columns; j += kGradPixels) {
      multiply<A>({.rows = plan_.window,
                   .columns = plan_.produce,
                   .depth = smaller(kGradPixels, columns - j),
                   .scalars = row + j * plan_.step,
                   .scalar_panel = kTileRows,
                   .scalar_row = 1,
                   .scalar_depth = plan_.step,
                   .vectors = gradients.data + j * gradients.row,
                   .vector_panel = kTileColumns<A>,
                   .vector_depth = gradients.row,
                   .start = sums,
                   .start_panel = kTileColumns<A>,
                   .start_row = plan_.produce,
                   .sums = sums,
                   .sums_row = plan_.produce});
    }
  }

  // grad_output(j, o) of a row: where it lies, if its channels are whole vectors, else in `copy`.
  PixelRows<A> find_gradients(int64_t image, int64_t i, A* copy) const {
    const Strides4& stride = operands_.grad_output_stride;
    const T* from = operands_.grad_output + image * stride.n + i * stride.h;
    const auto* data = accumulators(from);
    const int64_t channels = operands_.produce();
    if (data != nullptr && stride.c == 1 && channels == plan_.produce) return {data, stride.w};
    for (int64_t j = 0; j < operands_.shape.output.w; ++j) {
      A* to = copy + j * plan_.produce;
      load_run(from + j * stride.w, stride.c, to, channels);
      fill_run(to + channels, A(0), plan_.produce - channels);
    }
    return {copy, plan_.produce};
  }

  // Row y of an image, with zeros for the samples of the padding.
  void copy_row(int64_t image, int64_t y, A* to) const {
    const CorrelationAxis& w = operands_.lattice.w;
    const Strides4& stride = operands_.input_stride;
    const int64_t channels = operands_.reduce(), samples = plan_.row / channels;
    const Range valid = inside(samples, 1, w.offset, w.source);
    const T* from =
        operands_.input + image * stride.n + y * stride.h + (w.offset + valid.first) * stride.w;
    fill_run(to, A(0), valid.first * channels);
    fill_run(to + valid.last * channels, A(0), (samples - valid.last) * channels);
    to += valid.first * channels;
    const int64_t count = valid.last - valid.first;
    if (stride.c == 1 && stride.w == channels) return copy_run(from, to, count * channels);
    for (int64_t x = 0; x < count; ++x)
      load_run(from + x * stride.w, stride.c, to + x * channels, channels);
  }

  // The sums in the weight's layout, (r, s, c, o) -> (o, c, r, s).
  void write(const A* sums) const {
    const int64_t reduce = operands_.reduce(), taps = operands_.taps();
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int64_t c = 0; c < reduce; ++c, sums += plan_.produce) {
        store_run(sums, operands_.grad_weight + c * taps + tap, operands_.depth(),
                  operands_.produce());
      }
    }
  }

  WeightGradOperands<T> operands_;
  WindowRowsPlan plan_;
};

}  // namespace cnnops::CNNOPS_TARGET
