// Correlation as an implicit matrix product, for the forward pass and the input gradient:
//
//   result(pixel, o) = bias(o) + sum_k patch(pixel, k) * filter(k, o)
//
// A task gathers the patches of its pixels for a block of k at a time into scratch memory that fits
// the L2 cache, multiplies them with the filter, which is packed once a call, and writes its pixels
// once. Tasks share nothing they write, and the order of a sum depends on one image's shape alone,
// so that neither the batch nor the number of threads can change a bit.
//
// Results in channels_last have output channels in vectors and broadcast pixels; contiguous results
// have pixels in vectors and broadcast filter elements.
#pragma once

#include "correlation_plan.h"

namespace cnnops::CNNOPS_TARGET {

// Offset of a pixel of the lattice in one channel of the result.
CNNOPS_INLINE int64_t result_offset(const Correlation& lattice, const Strides4& stride,
                                    int64_t pixel) {
  const int64_t i = pixel / lattice.w.count, j = pixel % lattice.w.count;
  return (lattice.h.first + i * lattice.h.step) * stride.h +
         (lattice.w.first + j * lattice.w.step) * stride.w;
}

// ---- channels_last: rows are pixels, columns are output channels ----

template <class T>
class ChannelVectors {
 public:
  using A = Accumulate<T>;

  static void run(const CorrelationOperands<T>& operands, const Correlation& lattice,
                  const PackedFilter<A>& filter, const CorrelationTask& task,
                  const CorrelationScratch<T>& scratch) {
    const int64_t sums_row = round_up(task.channels, kTileColumns<A>);
    fill_run(scratch.sums, A(0), task.all_pixels() * sums_row);
    for (int64_t k = 0; k < filter.depth; k += kBlockDepth) {
      const PatchBlock block{task.first_pixel, task.pixels, k,
                             smaller(kBlockDepth, filter.depth - k)};
      for (int64_t image = 0; image < task.images; ++image) {
        PatchRows<T>(patch_source(operands, lattice, task, image), block,
                     scratch.patches + image * task.pixels * block.depth, block.depth)
            .gather();
      }
      multiply<A>({.rows = task.all_pixels(),
                   .columns = task.channels,
                   .depth = block.depth,
                   .scalars = scratch.patches,
                   .scalar_panel = kTileRows * block.depth,
                   .scalar_row = block.depth,
                   .scalar_depth = 1,
                   .vectors = filter.panel(task.group, task.first_channel / filter.width) +
                              k * filter.width,
                   .vector_panel = filter.depth * filter.width,
                   .vector_depth = filter.width,
                   .sums = scratch.sums,
                   .sums_row = sums_row});
    }
    write(operands, lattice, task, scratch, sums_row);
  }

 private:
  static void write(const CorrelationOperands<T>& operands, const Correlation& lattice,
                    const CorrelationTask& task, const CorrelationScratch<T>& scratch,
                    int64_t sums_row) {
    const int64_t channel = task.group * operands.produce + task.first_channel;
    A* bias = scratch.bias;
    fill_run(bias, A(0), task.channels);
    if (operands.bias != nullptr) load_run(operands.bias + channel, 1, bias, task.channels);
    const Strides4& stride = operands.result_stride;
    A* sums = scratch.sums;
    for (int64_t image = 0; image < task.images; ++image) {
      T* to = operands.result + (task.first_image + image) * stride.n + channel * stride.c;
      for (int64_t p = 0; p < task.pixels; ++p, sums += sums_row) {
        for (int64_t c = 0; c < task.channels; c += lanes<A>)
          store(sums + c, load(sums + c) + load(bias + c));
        store_run(sums, to + result_offset(lattice, stride, task.first_pixel + p), stride.c,
                  task.channels);
      }
    }
  }
};

// ---- contiguous: rows are output channels, columns are pixels ----

template <class T>
class PixelVectors {
 public:
  using A = Accumulate<T>;

  static void run(const CorrelationOperands<T>& operands, const Correlation& lattice,
                  const PackedFilter<A>& filter, const CorrelationTask& task,
                  const CorrelationScratch<T>& scratch) {
    const int64_t row = round_up(task.all_pixels(), lanes<A>);
    fill_run(scratch.sums, A(0), task.channels * row);
    for (int64_t k = 0; k < filter.depth; k += kBlockDepth) {
      const PatchBlock block{task.first_pixel, task.pixels, k,
                             smaller(kBlockDepth, filter.depth - k)};
      for (int64_t image = 0; image < task.images; ++image) {
        PatchColumns<T>(patch_source(operands, lattice, task, image), block,
                        scratch.patches + image * task.pixels, row, scratch.segments)
            .gather();
      }
      clear_rest(scratch.patches, block.depth, task.all_pixels(), row);
      multiply<A>({.rows = task.channels,
                   .columns = task.all_pixels(),
                   .depth = block.depth,
                   .scalars = filter.panel(task.group, task.first_channel / filter.width) +
                              k * filter.width,
                   .scalar_panel = filter.depth * filter.width,
                   .scalar_row = 1,
                   .scalar_depth = filter.width,
                   .vectors = scratch.patches,
                   .vector_panel = kTileColumns<A>,
                   .vector_depth = row,
                   .sums = scratch.sums,
                   .sums_row = row});
    }
    write(operands, lattice, task, scratch, row);
  }

 private:
  // Whole vectors of a row are read; what lies behind its pixels must not be slow to multiply, as
  // denormals are.
  static void clear_rest(A* patches, int64_t depth, int64_t pixels, int64_t row) {
    if (pixels == row) return;
    for (int64_t k = 0; k < depth; ++k) fill_run(patches + k * row + pixels, A(0), row - pixels);
  }

  static void write(const CorrelationOperands<T>& operands, const Correlation& lattice,
                    const CorrelationTask& task, const CorrelationScratch<T>& scratch,
                    int64_t sums_row) {
    const Strides4& stride = operands.result_stride;
    const int64_t first = task.group * operands.produce + task.first_channel;
    T* to = operands.result + task.first_image * stride.n;
    for (int64_t c = 0; c < task.channels; ++c) {
      const A bias = operands.bias != nullptr ? load_scalar(operands.bias + first + c) : A(0);
      A* sums = scratch.sums + c * sums_row;
      for (int64_t p = 0; p < task.all_pixels(); p += lanes<A>)
        store(sums + p, load(sums + p) + splat<A>(bias));
      for (int64_t image = 0; image < task.images; ++image) {
        write_channel(lattice, task, stride, sums + image * task.pixels,
                      to + image * stride.n + (first + c) * stride.c);
      }
    }
  }

  static void write_channel(const Correlation& lattice, const CorrelationTask& task,
                            const Strides4& stride, const A* sums, T* channel) {
    const int64_t columns = lattice.w.count;
    const bool rows_touch = columns * lattice.w.step * stride.w == lattice.h.step * stride.h;
    for (int64_t p = 0; p < task.pixels;) {
      const int64_t pixel = task.first_pixel + p;
      const int64_t length =
          smaller(task.pixels - p, rows_touch ? task.pixels : columns - pixel % columns);
      store_run(sums + p, channel + result_offset(lattice, stride, pixel),
                lattice.w.step * stride.w, length);
      p += length;
    }
  }
};

// ---- the whole correlation ----

template <class T>
int64_t correlation_workspace(const CorrelationOperands<T>& operands, const Correlation& lattice,
                              bool channels_last, int64_t threads) {
  const CorrelationPlan<T> plan(operands, lattice, channels_last);
  Arena arena;
  plan.take_filter(arena, operands.groups, operands.produce);
  return workspace_bytes(arena, threads,
                         [&](Arena& own) { return CorrelationScratch<T>(plan, own); });
}

template <class T, class Orientation>
void run_correlation(const CorrelationOperands<T>& operands, const Correlation& lattice,
                     const CorrelationPlan<T>& plan, const Execution& execution) {
  Arena arena(execution.workspace);
  const PackedFilter<Accumulate<T>> filter =
      plan.take_filter(arena, operands.groups, operands.produce);
  parallel(execution, operands.groups * filter.panels, [&](int64_t task, int64_t) {
    pack_panel(operands, lattice, filter, task / filter.panels, task % filter.panels);
  });
  const ScratchBySlot scratch(execution, arena,
                              [&](Arena& own) { return CorrelationScratch<T>(plan, own); });
  parallel(execution, plan.tasks, [&](int64_t index, int64_t slot) {
    Orientation::run(operands, lattice, filter, correlation_task(operands, plan, index),
                     scratch(slot));
  });
}

template <class T>
void correlate(const CorrelationOperands<T>& operands, const Correlation& lattice,
               bool channels_last, const Execution& execution) {
  const CorrelationPlan<T> plan(operands, lattice, channels_last);
  if (channels_last) {
    run_correlation<T, ChannelVectors<T>>(operands, lattice, plan, execution);
  } else {
    run_correlation<T, PixelVectors<T>>(operands, lattice, plan, execution);
  }
}

}  // namespace cnnops::CNNOPS_TARGET
