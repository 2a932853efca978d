// The implicit matrix product of an input gradient with few input channels: one row of products for
// every tap and input channel, over the pixels of a few rows of grad_output,
//
//   products(c, r, s; pixel) = sum_k weight(k, c, r, s) * grad_output(k, pixel)
//
// of which a result then gathers those that belong to it, from windows (p, q) with p * stride + r and
// q * stride + s. Input channels that would leave most of a tile empty fill it with their taps, and
// no product meets the zeros between strided samples.
//
// A task owns a strip of rows of one image. Blocks of rows of grad_output are the same for all strips,
// and a result gathers from one after the other: no cut changes a bit.
#pragma once

#include "correlation_plan.h"
#include "tap_products_plan.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class TapProducts {
 public:
  using A = Accumulate<T>;

  TapProducts(const Conv2dProblem& problem, const CorrelationOperands<T>& operands, int64_t threads)
      : plan_(problem),
        operands_(operands),
        pitch_(row_pitch<A>(plan_.pixels(plan_.rows))),
        strips_(strips(plan_, operands.batch, threads)),
        sums_row_(plan_.step * plan_.columns),
        sums_channel_(strips_.size * sums_row_) {}

  int64_t workspace(int64_t threads) const {
    Arena arena;
    take_filter(arena);
    return workspace_bytes(arena, threads, [&](Arena& own) { return Scratch(*this, own); });
  }

  void run(const Execution& execution) const {
    Arena arena(execution.workspace);
    A* const filter = take_filter(arena);
    pack_filter(filter);
    const ScratchBySlot scratch(execution, arena, [&](Arena& own) { return Scratch(*this, own); });
    parallel(execution, operands_.batch * strips_.count, [&](int64_t task, int64_t slot) {
      const int64_t first = task % strips_.count * strips_.size;
      compute({task / strips_.count, {first, smaller(plan_.h.input, first + strips_.size)}}, filter,
              scratch(slot));
    });
  }

 private:
  struct Scratch {
    A *source, *products, *sums;  // [k][pixel], [tap][pixel], see TapProductsPlan

    Scratch(const TapProducts& call, Arena& arena)
        : source(arena.take<A>(call.plan_.reduce * call.pitch_)),
          products(arena.take<A>(call.plan_.taps * call.pitch_)),
          sums(arena.take<A>(call.plan_.produce * call.sums_channel_ + lanes<A>)) {}
  };

  // Rows of one image.
  struct Strip {
    int64_t image;
    Range rows;
  };

  // Enough strips to keep threads busy, though those at their borders are computed twice.
  static Blocking strips(const TapProductsPlan& plan, int64_t batch, int64_t threads) {
    constexpr int64_t kTasksOfThread = 4, kLeastWindows = 4;
    const int64_t wanted =
        threads == 1 ? 1 : divide_up(kTasksOfThread * threads, larger<int64_t>(1, batch));
    const int64_t least = kLeastWindows * plan.h.kernel;
    const int64_t most = larger(least, divide_up(plan.h.input, wanted));
    return blocking(plan.h.input, smaller(plan.strip_rows, most), 1);
  }

  // The filter in panels of a tile's rows: [panel][k][row].
  A* take_filter(Arena& arena) const {
    return arena.take<A>(round_up(plan_.taps, kTileRows) * plan_.reduce);
  }
  void pack_filter(A* to) const {
    const FilterView<T>& view = operands_.filter;
    const int64_t columns = plan_.w.kernel, taps_of_channel = plan_.h.kernel * columns;
    fill_run(to, A(0), round_up(plan_.taps, kTileRows) * plan_.reduce);
    for (int64_t tap = 0; tap < plan_.taps; ++tap) {
      const int64_t c = tap / taps_of_channel, r = tap % taps_of_channel / columns;
      const T* from = view.data + c * view.produce_stride + r * view.row_stride +
                      tap % columns * view.column_stride;
      A* row = to + tap / kTileRows * plan_.reduce * kTileRows + tap % kTileRows;
      for (int64_t k = 0; k < plan_.reduce; ++k)
        row[k * kTileRows] = load_scalar(from + k * view.reduce_stride);
    }
  }

  void compute(const Strip& strip, const A* filter, const Scratch& scratch) const {
    for (int64_t c = 0; c < plan_.produce; ++c) {
      const A bias = operands_.bias == nullptr ? A(0) : load_scalar(operands_.bias + c);
      fill_run(scratch.sums + c * sums_channel_, bias, sums_channel_);
    }
    const Range windows = windows_over(strip.rows);
    for (Range block = block_from(windows.first, windows); block.first < block.last;
         block = block_from(block.last, windows)) {
      pack_source(strip.image, block, scratch.source);
      multiply_taps(strip.image, block, block_from(block.last, windows), filter, scratch);
      gather(strip.rows, block, scratch.products, scratch.sums);
    }
    write(strip, scratch.sums);
  }

  // The rows of windows that reach some rows of the input.
  Range windows_over(const Range& rows) const {
    const WindowAxis& h = plan_.h;
    const int64_t before = rows.first + h.padding - (h.kernel - 1);
    return {before <= 0 ? 0 : divide_up(before, h.stride),
            smaller(h.output, divide_up(rows.last + h.padding, h.stride))};
  }
  Range block_from(int64_t p, const Range& windows) const {
    return {p, smaller(windows.last, (p / plan_.rows + 1) * plan_.rows)};
  }
  const T* source_of(int64_t image, int64_t row) const {
    return operands_.source + image * operands_.source_stride.n + row * operands_.source_stride.h;
  }

  // to[k * pitch + pixel] for the pixels of some rows of windows.
  void pack_source(int64_t image, const Range& rows, A* to) const {
    const Strides4& stride = operands_.source_stride;
    for (int64_t k = 0; k < plan_.reduce; ++k) clear_gaps(to + k * pitch_, rows.last - rows.first);
    to += plan_.gap;
    for (int64_t p = rows.first; p < rows.last; ++p, to += plan_.reached) {
      const T* from = source_of(image, p);
      if (stride.c == 1 && stride.w != 1) {
        transpose_copy(from, stride.w, to, pitch_, plan_.w.output, plan_.reduce);
      } else {
        for (int64_t k = 0; k < plan_.reduce; ++k)
          load_run(from + k * stride.c, stride.w, to + k * pitch_, plan_.w.output);
      }
    }
  }

  // Of so many rows, and what whole vectors read behind the last.
  CNNOPS_INLINE void clear_gaps(A* row, int64_t rows) const {
    for (int64_t r = 0; r < rows; ++r) fill_run(row + r * plan_.reached, A(0), plan_.gap);
    const int64_t last = rows * plan_.reached;
    fill_run(row + last, A(0), round_up(plan_.pixels(rows), lanes<A>) - last);
  }

  // Fetches the next block meanwhile.
  void multiply_taps(int64_t image, const Range& block, const Range& next, const A* filter,
                     const Scratch& scratch) const {
    const Strides4& stride = operands_.source_stride;
    const int64_t rows = next.last - next.first;
    Ahead ahead;
    if (rows > 0 && stride.c == 1) {
      ahead.add(source_of(image, next.first), rows * stride.h);
    } else if (rows > 0) {
      ahead.add_columns(source_of(image, next.first), rows * stride.h, stride.c);
    }
    multiply<A>({.rows = plan_.taps,
                 .columns = round_up(plan_.pixels(block.last - block.first), lanes<A>),
                 .depth = plan_.reduce,
                 .scalars = filter,
                 .scalar_panel = plan_.reduce * kTileRows,
                 .scalar_row = 1,
                 .scalar_depth = kTileRows,
                 .vectors = scratch.source,
                 .vector_panel = kTileColumns<A>,
                 .vector_depth = pitch_,
                 .start = nullptr,
                 .start_panel = 0,
                 .start_row = 0,
                 .sums = scratch.products,
                 .sums_row = pitch_,
                 .ahead = ahead});
  }

  // Adds a block's products to the sums of some rows of the input.
  void gather(const Range& rows, const Range& block, const A* products, A* sums) const {
    const WindowAxis& h = plan_.h;
    const int64_t first = larger(rows.first, block.first * h.stride - h.padding);
    const int64_t last = smaller(rows.last, (block.last - 1) * h.stride - h.padding + h.kernel);
    for (int64_t y = first; y < last; ++y) {
      const int64_t at = y + h.padding;
      // Rows of windows from the last one on, and this row's place in it.
      const int64_t p = smaller(block.last - 1, at / h.stride), r = at - p * h.stride;
      const int64_t count = smaller(p - block.first + 1, divide_up(h.kernel - r, h.stride));
      for (int64_t c = 0; c < plan_.produce && count > 0; ++c) {
        const A* from = products + (c * h.kernel + r) * plan_.w.kernel * pitch_ + plan_.gap +
                        (p - block.first) * plan_.reached;
        A* to = sums + c * sums_channel_ + (y - rows.first) * sums_row_;
        for (int64_t s = 0; s < smaller(plan_.step, plan_.w.kernel); ++s)
          gather_row(from + s * pitch_, count, divide_up(plan_.w.kernel - s, plan_.step),
                     to + s * plan_.columns);
      }
    }
  }

  // Sums of one residue over `rows` rows of windows and `columns` of their columns.
  CNNOPS_INLINE void gather_row(const A* from, int64_t rows, int64_t columns, A* to) const {
    const int64_t next_row = plan_.h.stride * plan_.w.kernel * pitch_ - plan_.reached;
    const int64_t next_column = plan_.step * pitch_ - 1;
    const auto add_all = [&](int64_t i, auto add) {
      Vec<A> sum = load(to + i);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t s = 0; s < columns; ++s) add(sum, from + r * next_row + s * next_column + i);
      }
      store(to + i, sum);
    };
    int64_t i = 0;
    for (; i + lanes<A> <= plan_.reached; i += lanes<A>)
      add_all(i, [](Vec<A>& sum, const A* products) { sum += load(products); });
    const int64_t rest = plan_.reached - i;
    if (rest == 0) return;
    add_all(i, [=](Vec<A>& sum, const A* products) { sum += load_partial(products, rest); });
  }

  void write(const Strip& strip, const A* sums) const {
    const Strides4& stride = operands_.result_stride;
    for (int64_t y = strip.rows.first; y < strip.rows.last; ++y, sums += sums_row_) {
      T* const row = operands_.result + strip.image * stride.n + y * stride.h;
      for (int64_t residue = 0; residue < plan_.step; ++residue) {
        // The first column of the input with that residue.
        const int64_t skipped =
            larger<int64_t>(0, divide_up(plan_.w.padding - residue, plan_.step));
        const int64_t x = skipped * plan_.step + residue - plan_.w.padding;
        if (x >= plan_.w.input) continue;
        write_row(sums + residue * plan_.columns + skipped, row + x * stride.w,
                  plan_.step * stride.w, divide_up(plan_.w.input - x, plan_.step));
      }
    }
  }

  // The same columns of all channels.
  void write_row(const A* sums, T* to, int64_t step, int64_t count) const {
    const int64_t channel = operands_.result_stride.c;
    if (channel == 1 && step != 1) {
      transpose_copy(sums, sums_channel_, to, step, plan_.produce, count);
      return;
    }
    for (int64_t c = 0; c < plan_.produce; ++c)
      store_run(sums + c * sums_channel_, to + c * channel, step, count);
  }

  const TapProductsPlan plan_;
  const CorrelationOperands<T>& operands_;
  const int64_t pitch_;  // elements between rows of a block's pixels
  const Blocking strips_;
  const int64_t sums_row_, sums_channel_;
};

}  // namespace cnnops::CNNOPS_TARGET
