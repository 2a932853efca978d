// Algorithm "depthwise", weight gradient: for each channel and tap, the product of the input and
// grad_output summed over all pixels. kTapsAtOnce taps are summed in registers in one pass over the
// pixels, in vectors of columns where maps are contiguous, in vectors of channels else.
//
// A task owns a run of images and a block of channels, and writes partial sums; the runs are added
// in order.
#pragma once

#include "conv2d_depthwise_band.h"
#include "operand_lanes.h"

namespace cnnops::CNNOPS_TARGET {

// Taps summed in registers: those of a 3 x 3 filter.
inline constexpr int64_t kTapsAtOnce = 9;

// Some taps of a filter, and how far behind the first sample of a window they read; missing ones
// repeat the last.
struct TapList {
  int64_t count = 0;
  int64_t row[kTapsAtOnce], column[kTapsAtOnce];  // of the filter
  int64_t index[kTapsAtOnce];
  int64_t offset[kTapsAtOnce];

  CNNOPS_INLINE void add(int64_t r, int64_t s, int64_t tap, int64_t at) {
    row[count] = r, column[count] = s, index[count] = tap;
    offset[count++] = at;
  }
  CNNOPS_INLINE void fill() {
    for (int64_t i = count; i < kTapsAtOnce; ++i) offset[i] = offset[count - 1];
  }
};

// Calls visit(list) for all taps of some rows and columns of a filter; at(r, s) is their offset.
template <class At, class Visit>
CNNOPS_INLINE void visit_taps(Range rows, Range columns, int64_t kernel_columns, At at,
                              Visit visit) {
  TapList list;
  for (int64_t r = rows.first; r < rows.last; ++r) {
    for (int64_t s = columns.first; s < columns.last; ++s) {
      list.add(r, s, r * kernel_columns + s, at(r, s));
      if (list.count < kTapsAtOnce) continue;
      visit(list);
      list.count = 0;
    }
  }
  if (list.count == 0) return;
  list.fill();
  visit(list);
}

// The operands of a weight gradient, and the correlation whose windows it sums.
template <class T>
struct DepthwiseProducts {
  Conv2dShape shape;
  Correlation lattice;
  Values<T> input, grad_output;
};

// Products of contiguous maps, summed over vectors of columns.
template <class T>
class MapProducts {
 public:
  using A = Accumulate<T>;

  explicit MapProducts(const DepthwiseProducts<T>& operands)
      : operands_(operands),
        columns_(blocking(operands.lattice.w.count, kBandColumns, lanes<A>)),
        rows_(band_rows<A>(operands.lattice, columns_.size, 1)),
        layout_(band_layout<A>(operands.lattice, rows_.size, columns_.size)),
        stack_(bands_at_once<A>(layout_, lanes<A>)) {}

  // Scratch memory of one thread: bands, and the sums of [channel][tap], a vector each.
  struct Scratch {
    A *bands, *sums;
  };
  Scratch take(Arena& arena) const {
    return {arena.take<A>(stack_ * layout_.size<A>()), arena.take<A>(lanes<A> * taps() * lanes<A>)};
  }

  // Sums of `count` channels over the images of a run: to[tap * row + lane].
  void sum(Range images, int64_t channel, int64_t count, const Scratch& scratch, A* to,
           int64_t row) const {
    fill_run(scratch.sums, A(0), count * taps() * lanes<A>);
    for (int64_t p = 0; p < operands_.lattice.h.count; p += rows_.size) {
      for (int64_t q = 0; q < operands_.lattice.w.count; q += columns_.size)
        add_block(images, channel, count, p, q, scratch);
    }
    for (int64_t lane = 0; lane < count; ++lane) {
      for (int64_t tap = 0; tap < taps(); ++tap)
        to[tap * row + lane] = sum_of(load(scratch.sums + (lane * taps() + tap) * lanes<A>));
    }
  }

 private:
  int64_t taps() const { return operands_.shape.kernel.h * operands_.shape.kernel.w; }

  static A sum_of(Vec<A> values) {
    A sum = 0;
    for (int64_t lane = 0; lane < lanes<A>; ++lane) sum += values[lane];
    return sum;
  }

  // Adds the block of all maps that starts at (p, q) of grad_output.
  void add_block(Range images, int64_t channel, int64_t count, int64_t p, int64_t q,
                 const Scratch& scratch) const {
    const CorrelationAxis &h = operands_.lattice.h, &w = operands_.lattice.w;
    const Values<T>&input = operands_.input, &grad_output = operands_.grad_output;
    const Pair source{h.source, w.source};
    const BandPlace place{p * h.stride + h.offset, q * w.stride + w.offset};
    for (int64_t i = 0; i < smaller(stack_, count); ++i)
      band(scratch, i).clear_frame(source, place);
    const Pair size{smaller(rows_.size, h.count - p), smaller(columns_.size, w.count - q)};
    const auto offset = [&](int64_t r, int64_t s) {
      return layout_.row_of(0, r) * layout_.pitch + layout_.tap_column(s * w.dilation);
    };
    for (int64_t image = images.first; image < images.last; ++image) {
      for (int64_t stack = 0; stack < count; stack += stack_) {
        const int64_t end = smaller(count, stack + stack_);
        for (int64_t i = stack; i < end; ++i) {
          band(scratch, i - stack)
              .load_map(input.data + at(input.stride, image, channel + i, 0, 0), input.stride,
                        source, place);
        }
        visit_taps({0, h.taps}, {0, w.taps}, w.taps, offset, [&](const TapList& list) {
          for (int64_t i = stack; i < end; ++i) {
            multiply(band(scratch, i - stack), at(grad_output.stride, image, channel + i, p, q),
                     size, list, scratch.sums + i * taps() * lanes<A>);
          }
        });
      }
    }
  }

  Band<T> band(const Scratch& scratch, int64_t index) const {
    return {layout_, scratch.bands + index * layout_.size<A>()};
  }

  void multiply(const Band<T>& band, int64_t gradient, Pair size, const TapList& list,
                A* totals) const {
    const Strides4& stride = operands_.grad_output.stride;
    const A* row = band.row(0);
    const int64_t row_step = layout_.row_of(1, 0) * layout_.pitch;
    Vec<A> sums[kTapsAtOnce];
    for (int64_t k = 0; k < kTapsAtOnce; ++k) sums[k] = Vec<A>{};
    if (stride.w == 1) {
      add_rows(row, row_step, operands_.grad_output.data + gradient, stride.h, size, list, sums);
    } else {
      for (int64_t p = 0; p < size.h; ++p, row += row_step, gradient += stride.h) {
        for (int64_t q = 0; q < size.w; q += lanes<A>) {
          const int64_t count = smaller(lanes<A>, size.w - q);
          const Vec<A> grad = operands_.grad_output.fetch(gradient + q * stride.w, stride.w, count);
          const Ints<A> counts = first_lanes<A>(count);
          add_rest(row + q, counts ? grad : Vec<A>{}, counts, list, sums);
        }
      }
    }
    for (int64_t k = 0; k < list.count; ++k) {
      A* total = totals + list.index[k] * lanes<A>;
      store(total, load(total) + sums[k]);
    }
  }

  // Rows of adjacent gradients.
  CNNOPS_INLINE static void add_rows(const A* row, int64_t row_step, const T* gradient,
                                     int64_t gradient_step, Pair size, const TapList& list,
                                     Vec<A>* totals) {
    const int64_t whole = size.w - size.w % lanes<A>, rest = size.w - whole;
    const Ints<A> counts = first_lanes<A>(rest);
    int64_t offset[kTapsAtOnce];
    Vec<A> sums[kTapsAtOnce];
#pragma GCC unroll 16
    for (int64_t k = 0; k < kTapsAtOnce; ++k) offset[k] = list.offset[k], sums[k] = totals[k];
    int64_t room = (size.h - 1) * gradient_step + rest;
    for (int64_t p = 0; p < size.h;
         ++p, row += row_step, gradient += gradient_step, room -= gradient_step) {
      for (int64_t q = 0; q < whole; q += lanes<A>) {
        const Vec<A> grad = load(gradient + q);
#pragma GCC unroll 16
        for (int64_t k = 0; k < kTapsAtOnce; ++k)
          sums[k] = multiply_add<A>(load(row + q + offset[k]), grad, sums[k]);
      }
      if (rest > 0)
        add_rest(row + whole, load_rest(gradient + whole, rest, room), counts, list, sums);
    }
#pragma GCC unroll 16
    for (int64_t k = 0; k < kTapsAtOnce; ++k) totals[k] = sums[k];
  }

  // Lanes behind the last column count on neither side: the input may be infinite there.
  CNNOPS_INLINE static void add_rest(const A* from, Vec<A> grad, Ints<A> counts,
                                     const TapList& list, Vec<A>* sums) {
#pragma GCC unroll 16
    for (int64_t k = 0; k < kTapsAtOnce; ++k)
      sums[k] = multiply_add<A>(counts ? load(from + list.offset[k]) : Vec<A>{}, grad, sums[k]);
  }

  const DepthwiseProducts<T> operands_;
  const Blocking columns_, rows_;
  const BandLayout layout_;
  const int64_t stack_;  // maps in scratch memory at once
};

// Channels of a task where maps are channels_last.
inline constexpr int64_t kPixelChannels = 1024;

// What taps outside the input read.
template <class T>
inline constexpr T kZeroPixel[kPixelChannels] = {};

// Products of channels_last maps, summed pixel by pixel in vectors of channels. The pixels of a few
// rows are listed, and each vector of channels then takes the whole list at once.
template <class T>
class PixelProducts {
 public:
  using A = Accumulate<T>;

  explicit PixelProducts(const DepthwiseProducts<T>& operands) : operands_(operands) {}

  // Sums of `count` channels over the images of a run: to[tap * row + c].
  void sum(Range images, int64_t channel, int64_t count, A* to, int64_t row) const {
    const CorrelationAxis &h = operands_.lattice.h, &w = operands_.lattice.w;
    for (int64_t tap = 0; tap < h.taps * w.taps; ++tap)
      fill_run(to + tap * row, A(0), round_up(count, lanes<A>));
    const int64_t most = smaller(kPixels, larger(kFewestPixels, kElements / count));
    PixelList list;
    for (int64_t image = images.first; image < images.last; ++image) {
      for (int64_t p = 0; p < h.count; ++p) {
        visit_spans(p, [&](Span span) {
          add_origin(image, channel, p, span);
          list.spans[list.count++] = span;
          list.pixels += span.pixels;
          if (list.count < kSpans && list.pixels < most) return;
          add_list(list, count, to, row);
          list = {};
        });
      }
    }
    add_list(list, count, to, row);
  }

 private:
  // Largest list. A sum in registers has at most about kPixels terms, fewer where pixels have many
  // channels: about kElements samples stay in the cache.
  static constexpr int64_t kSpans = 64, kPixels = 256, kFewestPixels = 64, kElements = 16384;

  // Pixels side by side all of whose taps lie inside the input, or one pixel.
  struct Span {
    int64_t first, pixels;
    Range rows, columns;      // of taps inside the input
    int64_t input, gradient;  // elements: the first pixel's first tap, inside or not, and gradient
    const T* from[kTapsAtOnce];  // the first pixel's taps of a list
  };
  struct PixelList {
    int64_t count = 0, pixels = 0;
    Span spans[kSpans];
  };

  template <class Visit>
  void visit_spans(int64_t p, Visit visit) const {
    const CorrelationAxis &h = operands_.lattice.h, &w = operands_.lattice.w;
    const Range rows = inside(h.taps, h.dilation, p * h.stride + h.offset, h.source);
    const bool has_all_rows = rows.last - rows.first == h.taps;
    const int64_t reach = w.offset + (w.taps - 1) * w.dilation;
    const int64_t inner = inside(w.count, w.stride, w.offset, w.source).first;
    const int64_t outer = larger(inner, inside(w.count, w.stride, reach, w.source).last);
    const int64_t most = has_all_rows ? kPixels : 1;
    const auto span = [&](int64_t q, int64_t pixels) {
      const Range columns = inside(w.taps, w.dilation, q * w.stride + w.offset, w.source);
      visit({q, pixels, rows, columns, 0, 0, {}});
    };
    for (int64_t q = 0; q < inner; ++q) span(q, 1);
    for (int64_t q = inner; q < outer; q += most) span(q, smaller(most, outer - q));
    for (int64_t q = outer; q < w.count; ++q) span(q, 1);
  }

  void add_origin(int64_t image, int64_t channel, int64_t p, Span& span) const {
    const CorrelationAxis &h = operands_.lattice.h, &w = operands_.lattice.w;
    span.input = at(operands_.input.stride, image, channel, p * h.stride + h.offset,
                    span.first * w.stride + w.offset);
    span.gradient = at(operands_.grad_output.stride, image, channel, p, span.first);
  }

  __attribute__((noinline)) void add_list(PixelList& list, int64_t count, A* to,
                                          int64_t to_row) const {
    const CorrelationAxis &h = operands_.lattice.h, &w = operands_.lattice.w;
    const Strides4 &input = operands_.input.stride, &grad = operands_.grad_output.stride;
    const auto offset = [&](int64_t r, int64_t s) {
      return r * h.dilation * input.h + s * w.dilation * input.w;
    };
    visit_taps({0, h.taps}, {0, w.taps}, w.taps, offset, [&](const TapList& taps) {
      for (int64_t i = 0; i < list.count; ++i) find_taps(taps, list.spans[i]);
      int64_t c = 0;
      if (input.c == 1 && grad.c == 1) {
        for (; c + lanes<A> <= count; c += lanes<A>) multiply(list, taps, c, to + c, to_row);
      }
      for (; c < count; c += lanes<A>)
        multiply_any(list, taps, c, smaller(lanes<A>, count - c), to + c, to_row);
    });
  }

  static bool is_inside(const Span& span, const TapList& taps, int64_t k) {
    const int64_t r = taps.row[k], s = taps.column[k];
    return r >= span.rows.first && r < span.rows.last && s >= span.columns.first &&
           s < span.columns.last;
  }

  void find_taps(const TapList& taps, Span& span) const {
    for (int64_t k = 0; k < taps.count; ++k) {
      span.from[k] = is_inside(span, taps, k) ? operands_.input.data + span.input + taps.offset[k]
                                              : kZeroPixel<T>;
    }
    for (int64_t k = taps.count; k < kTapsAtOnce; ++k) span.from[k] = span.from[taps.count - 1];
  }

  // A whole vector of adjacent channels.
  void multiply(const PixelList& list, const TapList& taps, int64_t c, A* totals,
                int64_t total_row) const {
    const int64_t step = operands_.lattice.w.stride * operands_.input.stride.w,
                  gradient_step = operands_.grad_output.stride.w;
    Vec<A> sums[kTapsAtOnce] = {};
    for (int64_t i = 0; i < list.count; ++i) {
      const Span& span = list.spans[i];
      const T* gradient = operands_.grad_output.data + span.gradient + c;
      const T* from[kTapsAtOnce];
#pragma GCC unroll 16
      for (int64_t k = 0; k < kTapsAtOnce; ++k) from[k] = span.from[k] + c;
      for (int64_t q = 0; q < span.pixels; ++q, gradient += gradient_step) {
        const Vec<A> grad = load(gradient);
#pragma GCC unroll 16
        for (int64_t k = 0; k < kTapsAtOnce; ++k)
          sums[k] = multiply_add<A>(load(from[k] + q * step), grad, sums[k]);
      }
    }
#pragma GCC unroll 16
    for (int64_t k = 0; k < kTapsAtOnce; ++k) {
      if (k >= taps.count) break;
      A* total = totals + taps.index[k] * total_row;
      store(total, load(total) + sums[k]);
    }
  }

  // The last channels, or channels that are not adjacent: one tap after another.
  void multiply_any(const PixelList& list, const TapList& taps, int64_t c, int64_t count, A* totals,
                    int64_t total_row) const {
    const Values<T>&input = operands_.input, &grad_output = operands_.grad_output;
    const int64_t step = operands_.lattice.w.stride * input.stride.w;
    for (int64_t k = 0; k < taps.count; ++k) {
      Vec<A> sum{};
      for (int64_t i = 0; i < list.count; ++i) {
        const Span& span = list.spans[i];
        if (!is_inside(span, taps, k)) continue;
        int64_t from = span.input + taps.offset[k] + c * input.stride.c;
        int64_t gradient = span.gradient + c * grad_output.stride.c;
        for (int64_t q = 0; q < span.pixels; ++q) {
          sum = multiply_add<A>(input.fetch(from, input.stride.c, count),
                                grad_output.fetch(gradient, grad_output.stride.c, count), sum);
          from += step;
          gradient += grad_output.stride.w;
        }
      }
      A* total = totals + taps.index[k] * total_row;
      store(total, load(total) + sum);
    }
  }

  const DepthwiseProducts<T> operands_;
};

template <class T>
class DepthwiseWeightGrad {
 public:
  using A = Accumulate<T>;

  static int64_t workspace(const Conv2dProblem& problem, int64_t threads) {
    const DepthwiseWeightGrad call(problem, {});
    Arena arena;
    call.take_partials(arena);
    if (problem.channels_last) return arena.size();
    const MapProducts<T> products(call.operands_);
    return workspace_bytes(arena, threads, [&](Arena& own) { return products.take(own); });
  }

  static void run(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                  const Execution& execution) {
    DepthwiseWeightGrad call(problem, tensors);
    Arena arena(execution.workspace);
    call.partials_ = call.take_partials(arena);
    if (problem.channels_last) {
      call.sum_pixels(execution);
    } else {
      call.sum_maps(execution, arena);
    }
    add_runs(call.partials_, call.taps() * call.row(), call.runs_.count, call.taps() * call.row());
    call.write_filter(static_cast<T*>(tensors.weight.data));
  }

 private:
  // The fewest tasks a batch is cut into.
  static constexpr int64_t kTasks = 32;

  DepthwiseWeightGrad(const Conv2dProblem& problem, const Conv2dTensors& tensors)
      : operands_{problem.shape,
                  whole_lattice(problem.shape),
                  {static_cast<const T*>(tensors.input.data), tensors.input.stride},
                  {static_cast<const T*>(tensors.output.data), tensors.output.stride}},
        channels_(blocking(problem.shape.groups, problem.channels_last ? kPixelChannels : lanes<A>,
                           lanes<A>)),
        runs_(blocking(problem.shape.batch,
                       divide_up(problem.shape.batch, divide_up(kTasks, channels_.count)), 1)) {}

  static Correlation whole_lattice(const Conv2dShape& shape) {
    const Lattices lattices = forward_lattices(window_grid(shape));
    return {lattices.rows[0], lattices.columns[0]};
  }

  int64_t taps() const { return operands_.shape.kernel.h * operands_.shape.kernel.w; }
  // Partial sums of a run of images: [tap][channel], in rows of this many.
  int64_t row() const { return channels_.count * channels_.size; }
  A* take_partials(Arena& arena) const { return arena.take<A>(runs_.count * taps() * row()); }

  // body(images, channel, count, partials, slot) for each task.
  template <class Body>
  void visit_tasks(const Execution& execution, Body body) const {
    parallel(execution, runs_.count * channels_.count, [&](int64_t task, int64_t slot) {
      const int64_t run = task / channels_.count, c = task % channels_.count * channels_.size;
      const int64_t first = run * runs_.size;
      body(Range{first, smaller(operands_.shape.batch, first + runs_.size)}, c,
           smaller(channels_.size, operands_.shape.groups - c),
           partials_ + run * taps() * row() + c, slot);
    });
  }

  void sum_pixels(const Execution& execution) const {
    const PixelProducts<T> products(operands_);
    visit_tasks(execution, [&](Range images, int64_t c, int64_t count, A* to, int64_t) {
      products.sum(images, c, count, to, row());
    });
  }

  void sum_maps(const Execution& execution, const Arena& shared) const {
    const MapProducts<T> products(operands_);
    const ScratchBySlot scratch(execution, shared, [&](Arena& own) { return products.take(own); });
    visit_tasks(execution, [&](Range images, int64_t c, int64_t count, A* to, int64_t slot) {
      products.sum(images, c, count, scratch(slot), to, row());
    });
  }

  void write_filter(T* grad_weight) const {
    for (int64_t tap = 0; tap < taps(); ++tap)
      store_run(partials_ + tap * row(), grad_weight + tap, taps(), operands_.shape.groups);
  }

  const DepthwiseProducts<T> operands_;
  const Blocking channels_, runs_;
  A* partials_ = nullptr;
};

}  // namespace cnnops::CNNOPS_TARGET
