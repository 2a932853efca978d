// Correlation as an implicit matrix product, for the forward pass and the input gradient:
//
//   result(pixel, o) = bias(o) + sum_k patch(pixel, k) * filter(k, o)
//
// A task gathers the patches of its pixels for a block of k at a time into scratch memory that fits
// the L2 cache, multiplies them with the filter, which is packed once a call, and writes its pixels
// once. Where the tensors' layout allows it, patches are read in the source and sums built in the
// result. Tasks share nothing they write, and the order of a sum depends on one image's shape alone,
// so that neither the batch nor the number of threads can change a bit.
//
// Results in channels_last have output channels in vectors and broadcast pixels; contiguous results
// have pixels in vectors and broadcast filter elements, unless their maps are too small for that.
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

// Where a task's sums are built: in scratch memory or in the result itself.
template <class A>
struct TaskSums {
  A* data;
  int64_t row;
};

// What the sums of a block of depth start from: a bias or nothing, then the sums so far.
template <class A>
struct BlockStart {
  const A* data;
  int64_t panel, row;
};
template <class A>
CNNOPS_INLINE BlockStart<A> block_start(int64_t k, const BlockStart<A>& bias,
                                        const TaskSums<A>& sums) {
  return k == 0 ? bias : BlockStart<A>{sums.data, kTileColumns<A>, sums.row};
}

// Columns of patches in scratch memory: patches(k, image and pixel).
template <class T>
void gather_columns(const CorrelationOperands<T>& operands, const Correlation& lattice,
                    const CorrelationTask& task, const CorrelationScratch<T>& scratch,
                    const PatchBlock& block, int64_t pitch) {
  for (int64_t image = 0; image < task.images; ++image) {
    PatchColumns<T>(patch_source(operands, lattice, task, image), block,
                    scratch.patches + image * task.pixels, pitch, scratch.segments)
        .gather();
  }
}

// The samples of a contiguous source that a task's block of depth from k on needs, where a pixel
// reads a single one.
template <class T>
void add_samples(const CorrelationOperands<T>& operands, const Correlation& lattice,
                 const CorrelationTask& task, int64_t k, int64_t depth, Ahead& ahead) {
  const Strides4& stride = operands.source_stride;
  if (lattice.h.taps * lattice.w.taps > 1) return;
  const T* channel = patch_source(operands, lattice, task, 0).data + k * stride.c;
  if (task.pixels == lattice.h.count * lattice.w.count) {
    ahead.add(channel, depth * stride.c);
  } else if (reads_single_samples(lattice)) {
    ahead.add_columns(channel + source_offset(lattice, stride, task.first_pixel),
                      source_offset(lattice, stride, task.pixels), stride.c);
  }
}

// The filter of the block of depth that starts at k, unless that is all there is.
template <class A>
void add_filter(const PackedFilter<A>& filter, const CorrelationTask& task, int64_t k,
                Ahead& ahead) {
  if (filter.depth == filter.block) return;
  ahead.add(filter.at(task.group, task.first_channel / filter.width, k),
            divide_up(task.channels, filter.width) * filter.panel_stride(k));
}

// ---- rows are pixels, columns are output channels ----

// patches(pixel, k) at pixel * pixel_stride + k * k_stride.
template <class A>
struct PatchMatrix {
  const A* data;
  int64_t pixel_stride, k_stride;
};

template <class T>
class ChannelVectors {
 public:
  using A = Accumulate<T>;

  static void run(const CorrelationOperands<T>& operands, const Correlation& lattice,
                  const PackedFilter<A>& filter, const CorrelationTask& task,
                  const CorrelationTask& next, const CorrelationScratch<T>& scratch) {
    const TaskSums<A> in_result = result_sums(operands, lattice, task);
    const bool direct = in_result.data != nullptr;
    const TaskSums<A> sums =
        direct ? in_result : TaskSums<A>{scratch.sums, round_up(task.channels, kTileColumns<A>)};
    const BlockStart<A> bias = bias_start(operands, task, scratch);
    // Parts of longer rows are written as far as they go; whole rows lie side by side anyway.
    const auto multiply_block =
        sums.row > round_up(task.channels, kTileColumns<A>) ? multiply_rows<A> : multiply<A>;
    for (int64_t k = 0; k < filter.depth; k += filter.block) {
      const int64_t depth = filter.depth_from(k);
      const PatchMatrix<A> patches =
          find_patches(operands, lattice, task, scratch, {task.first_pixel, task.pixels, k, depth});
      const BlockStart<A> start = block_start(k, bias, sums);
      multiply_block({.rows = task.all_pixels(),
                      .columns = direct ? task.channels : round_up(task.channels, lanes<A>),
                      .depth = depth,
                      .scalars = patches.data,
                      .scalar_panel = kTileRows * patches.pixel_stride,
                      .scalar_row = patches.pixel_stride,
                      .scalar_depth = patches.k_stride,
                      .vectors = filter.at(task.group, task.first_channel / filter.width, k),
                      .vector_panel = filter.panel_stride(k),
                      .vector_depth = filter.width,
                      .start = start.data,
                      .start_panel = start.panel,
                      .start_row = start.row,
                      .sums = sums.data,
                      .sums_row = sums.row,
                      .ahead = k + depth < filter.depth
                                   ? ahead_of_block(operands, lattice, filter, task, k + depth)
                                   : ahead_of_task(operands, lattice, filter, task, next)});
    }
    if (!direct) write(operands, lattice, task, sums);
  }

 private:
  static Ahead ahead_of_block(const CorrelationOperands<T>& operands, const Correlation& lattice,
                              const PackedFilter<A>& filter, const CorrelationTask& task,
                              int64_t k) {
    Ahead ahead;
    add_filter(filter, task, k, ahead);
    if (operands.source_stride.c != 1)
      add_samples(operands, lattice, task, k, filter.depth_from(k), ahead);
    return ahead;
  }

  static Ahead ahead_of_task(const CorrelationOperands<T>& operands, const Correlation& lattice,
                             const PackedFilter<A>& filter, const CorrelationTask& task,
                             const CorrelationTask& next) {
    Ahead ahead;
    if (operands.source_stride.c != 1) {
      add_samples(operands, lattice, next, 0, filter.depth_from(0), ahead);
    } else if (!next.has_pixels_of(task)) {
      add_rows(operands.source, operands.source_stride, lattice, next.block(), ahead);
    }
    add_filter(filter, next, 0, ahead);
    return ahead;
  }

  // Where they lie, or gathered as rows or columns, whichever the source has contiguous.
  static PatchMatrix<A> find_patches(const CorrelationOperands<T>& operands,
                                     const Correlation& lattice, const CorrelationTask& task,
                                     const CorrelationScratch<T>& scratch,
                                     const PatchBlock& block) {
    const PixelRows<A> there = rows_in_place(patch_source(operands, lattice, task, 0),
                                             operands.source_stride, task.block());
    if (there.data != nullptr) return {there.data + block.first_k, there.row, 1};
    if (operands.source_stride.c != 1) {
      const int64_t pitch = row_pitch<A>(task.all_pixels());
      gather_columns(operands, lattice, task, scratch, block, pitch);
      return {scratch.patches, 1, pitch};
    }
    for (int64_t image = 0; image < task.images; ++image) {
      PatchRows<T>(patch_source(operands, lattice, task, image), block,
                   scratch.patches + image * task.pixels * block.depth, block.depth)
          .gather();
    }
    return {scratch.patches, block.depth, 1};
  }

  static T* first_result(const CorrelationOperands<T>& operands, const Correlation& lattice,
                         const CorrelationTask& task, int64_t image) {
    const Strides4& stride = operands.result_stride;
    const int64_t channel = task.group * operands.produce + task.first_channel;
    return operands.result + (task.first_image + image) * stride.n + channel * stride.c +
           result_offset(lattice, stride, task.first_pixel);
  }

  static TaskSums<A> result_sums(const CorrelationOperands<T>& operands, const Correlation& lattice,
                                 const CorrelationTask& task) {
    const Strides4& stride = operands.result_stride;
    const int64_t step = stride.c == 1 ? result_step(lattice, stride, task.images) : 0;
    if (step == 0) return {nullptr, 0};
    return {accumulators(first_result(operands, lattice, task, 0)), step};
  }

  static BlockStart<A> bias_start(const CorrelationOperands<T>& operands,
                                  const CorrelationTask& task,
                                  const CorrelationScratch<T>& scratch) {
    if (operands.bias == nullptr) return {nullptr, 0, 0};
    const int64_t channel = task.group * operands.produce + task.first_channel;
    copy_run(operands.bias + channel, scratch.bias, task.channels);
    fill_run(scratch.bias + task.channels, A(0), round_up(task.channels, lanes<A>) - task.channels);
    return {scratch.bias, kTileColumns<A>, 0};
  }

  static void write(const CorrelationOperands<T>& operands, const Correlation& lattice,
                    const CorrelationTask& task, const TaskSums<A>& sums) {
    const Strides4& stride = operands.result_stride;
    const bool transposed = stride.c != 1 && result_step(lattice, stride, 1) == 1;
    const A* from = sums.data;
    for (int64_t image = 0; image < task.images; ++image, from += task.pixels * sums.row) {
      T* to = first_result(operands, lattice, task, image);
      if (transposed) {
        transpose_copy(from, sums.row, to, stride.c, task.pixels, task.channels);
      } else {
        write_pixels(lattice, stride, task, from, sums.row, to);
      }
    }
  }

  static void write_pixels(const Correlation& lattice, const Strides4& stride,
                           const CorrelationTask& task, const A* sums, int64_t sums_row, T* to) {
    const int64_t first = result_offset(lattice, stride, task.first_pixel);
    for (int64_t p = 0; p < task.pixels; ++p) {
      const int64_t offset = result_offset(lattice, stride, task.first_pixel + p) - first;
      store_run(sums + p * sums_row, to + offset, stride.c, task.channels);
    }
  }
};

// ---- rows are output channels, columns are pixels ----

template <class T>
class PixelVectors {
 public:
  using A = Accumulate<T>;

  static void run(const CorrelationOperands<T>& operands, const Correlation& lattice,
                  const PackedFilter<A>& filter, const CorrelationTask& task,
                  const CorrelationTask& next, const CorrelationScratch<T>& scratch) {
    const TaskSums<A> in_result = result_sums(operands, lattice, task);
    const bool direct = in_result.data != nullptr;
    const int64_t pitch = row_pitch<A>(task.all_pixels());
    const TaskSums<A> sums = direct ? in_result : TaskSums<A>{scratch.sums, pitch};
    const BlockStart<A> bias = bias_start(operands, task, scratch);
    for (int64_t k = 0; k < filter.depth; k += filter.block) {
      const int64_t depth = filter.depth_from(k);
      gather_patches(operands, lattice, task, scratch, {task.first_pixel, task.pixels, k, depth});
      const BlockStart<A> start = block_start(k, bias, sums);
      multiply<A>({.rows = task.channels,
                   .columns = direct ? task.all_pixels() : round_up(task.all_pixels(), lanes<A>),
                   .depth = depth,
                   .scalars = filter.at(task.group, task.first_channel / filter.width, k),
                   .scalar_panel = filter.panel_stride(k),
                   .scalar_row = 1,
                   .scalar_depth = filter.width,
                   .vectors = scratch.patches,
                   .vector_panel = kTileColumns<A>,
                   .vector_depth = pitch,
                   .start = start.data,
                   .start_panel = start.panel,
                   .start_row = start.row,
                   .sums = sums.data,
                   .sums_row = sums.row,
                   .ahead = k + depth < filter.depth
                                ? ahead_of(operands, lattice, filter, task, k + depth)
                                : ahead_of(operands, lattice, filter, next, 0)});
    }
    if (!direct) write(operands, lattice, task, sums);
  }

 private:
  // The filter of a task's block of depth and, where a pixel reads a single sample, its samples.
  static Ahead ahead_of(const CorrelationOperands<T>& operands, const Correlation& lattice,
                        const PackedFilter<A>& filter, const CorrelationTask& task, int64_t k) {
    Ahead ahead;
    add_filter(filter, task, k, ahead);
    add_samples(operands, lattice, task, k, filter.depth_from(k), ahead);
    return ahead;
  }

  // patches(k, pixel).
  static void gather_patches(const CorrelationOperands<T>& operands, const Correlation& lattice,
                             const CorrelationTask& task, const CorrelationScratch<T>& scratch,
                             const PatchBlock& block) {
    const int64_t pixels = task.all_pixels(), pitch = row_pitch<A>(pixels);
    gather_columns(operands, lattice, task, scratch, block, pitch);
    clear_behind(scratch.patches, block.depth, pitch, pixels);
  }

  static T* first_channel(const CorrelationOperands<T>& operands, const CorrelationTask& task) {
    return operands.result + task.first_image * operands.result_stride.n +
           (task.group * operands.produce + task.first_channel) * operands.result_stride.c;
  }

  static TaskSums<A> result_sums(const CorrelationOperands<T>& operands, const Correlation& lattice,
                                 const CorrelationTask& task) {
    const Strides4& stride = operands.result_stride;
    if (result_step(lattice, stride, task.images) != 1) return {nullptr, 0};
    T* to = first_channel(operands, task) + result_offset(lattice, stride, task.first_pixel);
    return {accumulators(to), stride.c};
  }

  // A tile's columns of each channel's bias.
  static BlockStart<A> bias_start(const CorrelationOperands<T>& operands,
                                  const CorrelationTask& task,
                                  const CorrelationScratch<T>& scratch) {
    if (operands.bias == nullptr) return {nullptr, 0, 0};
    const T* bias = operands.bias + task.group * operands.produce + task.first_channel;
    for (int64_t c = 0; c < task.channels; ++c)
      fill_run(scratch.bias + c * kTileColumns<A>, load_scalar(bias + c), kTileColumns<A>);
    return {scratch.bias, 0, kTileColumns<A>};
  }

  static void write(const CorrelationOperands<T>& operands, const Correlation& lattice,
                    const CorrelationTask& task, const TaskSums<A>& sums) {
    const Strides4& stride = operands.result_stride;
    T* to = first_channel(operands, task);
    for (int64_t c = 0; c < task.channels; ++c) {
      for (int64_t image = 0; image < task.images; ++image) {
        write_channel(lattice, task, stride, sums.data + c * sums.row + image * task.pixels,
                      to + image * stride.n + c * stride.c);
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
                     correlation_task(operands, plan, smaller(index + 1, plan.tasks - 1)),
                     scratch(slot));
  });
}

template <class T>
void correlate(const CorrelationOperands<T>& operands, const Correlation& lattice,
               bool channels_last, const Execution& execution) {
  const CorrelationPlan<T> plan(operands, lattice, channels_last);
  if (plan.channel_vectors) {
    run_correlation<T, ChannelVectors<T>>(operands, lattice, plan, execution);
  } else {
    run_correlation<T, PixelVectors<T>>(operands, lattice, plan, execution);
  }
}

}  // namespace cnnops::CNNOPS_TARGET
