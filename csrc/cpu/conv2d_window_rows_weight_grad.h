// The weight gradient where few channels meet, of channels_last tensors or of transposed rows of
// others. The samples of a window's row follow each other there, so that all windows of a row are a
// matrix whose rows overlap, and nothing is gathered:
//
//   grad_weight(o, r, k) = sum_{i, j} grad_output(i, j, o) * row(i, r)[j * stride * channels + k]
//
// k counts (filter column, input channel); row(i, r) is the input's row that output row i meets in
// filter row r, padded with zeros. A task owns a run of output rows of all images and copies the rows
// that a few of them meet at a time. The runs give partial sums, which are added in order.
#pragma once

#include "correlation_plan.h"
#include "weight_grad_plan.h"

namespace cnnops::CNNOPS_TARGET {

// The sums of a task, at most: they stay in the L2 cache.
inline constexpr int64_t kWindowSums = 65536;

// Pixels whose products are summed in registers, and bytes of their gradients, which every row of the
// filter reads from the L1 cache: at most, unless a single row has more.
inline constexpr int64_t kWindowPixels = 256, kWindowBytes = 32 << 10;

// Whether a weight gradient is made of them: windows share samples, channels fill vectors, and there
// are not too many sums. Contiguous tensors are transposed for it, if channels are few and taps many.
CNNOPS_INLINE bool has_window_rows(const Conv2dProblem& problem) {
  constexpr int64_t kFewChannels = 8, kManyTaps = 25;
  const Conv2dShape& shape = problem.shape;
  const bool is_worth_transposing =
      shape.in_channels <= kFewChannels && shape.kernel.h * shape.kernel.w >= kManyTaps;
  const int64_t row = ((shape.output.w - 1) * shape.stride.w + shape.kernel.w) * shape.in_channels;
  return (problem.channels_last || is_worth_transposing) && shape.groups == 1 &&
         shape.kernel.h <= kRowsElements / larger<int64_t>(1, row) && shape.kernel.w > 1 &&
         shape.dilation.w == 1 && shape.out_channels >= lanes<float> &&
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
        row(larger<int64_t>(1, window_row(operands.lattice.w, operands.reduce()))),
        rows_at_once(rows_of_block(operands.shape.output, rows_that_share(operands.lattice.h, row),
                                   int64_t(sizeof(Accumulate<T>)))),
        sums(operands.shape.kernel.h * window * produce) {
    const int64_t rows = operands.shape.batch * operands.shape.output.h;
    const int64_t worthwhile = rows * operands.shape.output.w / kRunPixels;
    const int64_t affordable =
        kPartialBytes / int64_t(sizeof(Accumulate<T>)) / larger<int64_t>(1, sums);
    const int64_t wanted = smaller(kBatchTasks, smaller(worthwhile, affordable));
    runs = blocking(larger<int64_t>(1, rows),
                    larger<int64_t>(1, divide_up(rows, larger<int64_t>(1, wanted))), 1);
  }

  int64_t window;        // elements of a window's row
  int64_t produce;       // output channels in whole vectors
  int64_t step;          // elements from a window to the next
  int64_t row;           // elements of a padded row
  int64_t rows_at_once;  // of outputs
  int64_t sums;          // of a task: [filter row][k][produce]
  Blocking runs;         // of the output rows of all images

 private:
  // Of an output whose rows can `share` those of the input, with elements of so many bytes.
  int64_t rows_of_block(Pair output, int64_t share, int64_t element) const {
    const int64_t pixels = smaller(kWindowPixels, kWindowBytes / (produce * element));
    const int64_t rows = pixels / larger<int64_t>(1, output.w);
    return larger<int64_t>(1, smaller(output.h, smaller(share, rows)));
  }
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
    A *rows, *gradients;

    Scratch(const WindowRowsWeightGrad& gradient, Arena& arena)
        : rows(arena.take<A>(
              window_samples(gradient.operands_.lattice.h, gradient.plan_.rows_at_once) *
              gradient.plan_.row)),
          gradients(arena.take<A>(gradient.plan_.rows_at_once * gradient.operands_.shape.output.w *
                                  gradient.plan_.produce)) {}
  };

  // Output rows [first, first + count) of an image.
  struct Rows {
    int64_t image, first, count;
  };

  A* take_partials(Arena& arena) const { return arena.take<A>(plan_.runs.count * plan_.sums); }

  void accumulate(int64_t run, const Scratch& scratch, A* sums) const {
    const Conv2dShape& shape = operands_.shape;
    fill_run(sums, A(0), plan_.sums);
    const int64_t last = smaller(shape.batch * shape.output.h, (run + 1) * plan_.runs.size);
    for (int64_t row = run * plan_.runs.size, count; row < last; row += count) {
      const int64_t i = row % shape.output.h;
      count = smaller(plan_.rows_at_once, smaller(shape.output.h - i, last - row));
      add_rows({row / shape.output.h, i, count}, scratch, sums);
    }
  }

  void add_rows(const Rows& rows, const Scratch& scratch, A* sums) const {
    const CorrelationAxis& h = operands_.lattice.h;
    const PixelRows<A> gradients = find_gradients(rows, scratch.gradients);
    copy_window_rows(input_of(operands_, 0, rows.image), rows.first, rows.count, scratch.rows);
    for (int64_t r = 0; r < h.taps; ++r) {
      add_windows(gradients, rows.count, scratch.rows + r * plan_.row,
                  sums + r * plan_.window * plan_.produce);
    }
  }

  // Several rows have gradients in one run, and fewer pixels than a block.
  void add_windows(const PixelRows<A>& gradients, int64_t rows, const A* samples, A* sums) const {
    const int64_t columns = operands_.shape.output.w;
    for (int64_t j = 0; j < columns; j += kWindowPixels) {
      multiply<A>({.rows = plan_.window,
                   .columns = plan_.produce,
                   .depth = smaller(kWindowPixels, columns - j),
                   .pieces = rows,
                   .scalars = samples + j * plan_.step,
                   .scalar_panel = kTileRows,
                   .scalar_row = 1,
                   .scalar_piece = operands_.lattice.h.stride * plan_.row,
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

  // grad_output(pixel, o) of a few rows: where it lies, if its channels are whole vectors and its
  // pixels at one distance, else in `copy`.
  PixelRows<A> find_gradients(const Rows& rows, A* copy) const {
    const Strides4& stride = operands_.grad_output_stride;
    const int64_t columns = operands_.shape.output.w, channels = operands_.produce();
    const T* from = operands_.grad_output + rows.image * stride.n + rows.first * stride.h;
    const auto* data = accumulators(from);
    const bool is_run = rows.count == 1 || stride.h == columns * stride.w;
    if (data != nullptr && stride.c == 1 && channels == plan_.produce && is_run)
      return {data, stride.w};
    if (stride.w == 1 && is_run) {
      if (channels < plan_.produce) fill_run(copy, A(0), rows.count * columns * plan_.produce);
      transpose_copy(from, stride.c, copy, plan_.produce, channels, rows.count * columns);
      return {copy, plan_.produce};
    }
    for (int64_t pixel = 0; pixel < rows.count * columns; ++pixel) {
      A* to = copy + pixel * plan_.produce;
      load_run(from + pixel / columns * stride.h + pixel % columns * stride.w, stride.c, to,
               channels);
      fill_run(to + channels, A(0), plan_.produce - channels);
    }
    return {copy, plan_.produce};
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
