// The implicit matrix product of contiguous results: rows are output channels, whose filter elements
// are broadcast, columns are pixels.
#pragma once

#include "implicit_gemm_task.h"

namespace cnnops::CNNOPS_TARGET {

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
      const A* const patches =
          find_patches(operands, lattice, task, scratch, {task.first_pixel, task.pixels, k, depth});
      const BlockStart<A> start = block_start(k, bias, sums);
      multiply<A>({.rows = task.channels,
                   .columns = direct ? task.all_pixels() : round_up(task.all_pixels(), lanes<A>),
                   .depth = depth,
                   .scalars = filter.at(task.group, task.first_channel / filter.width, k),
                   .scalar_panel = filter.panel_stride(k),
                   .scalar_row = 1,
                   .scalar_depth = filter.width,
                   .vectors = patches,
                   .vector_panel = kTileColumns<A>,
                   .vector_depth = pitch,
                   .start = start.data,
                   .start_panel = start.panel,
                   .start_row = start.row,
                   .sums = sums.data,
                   .sums_row = sums.row,
                   .ahead = k + depth < filter.depth
                                ? ahead_of(operands, lattice, filter, task, scratch, k + depth)
                                : ahead_of(operands, lattice, filter, next, scratch, 0)});
    }
    if (!direct) write(operands, lattice, task, sums);
  }

 private:
  // The filter of a task's block of depth and its patches or, where a pixel reads a single sample, the
  // samples they are gathered from.
  static Ahead ahead_of(const CorrelationOperands<T>& operands, const Correlation& lattice,
                        const PackedFilter<A>& filter, const CorrelationTask& task,
                        const CorrelationScratch<T>& scratch, int64_t k) {
    Ahead ahead;
    add_filter(filter, task, k, ahead);
    add_patches(operands, lattice, filter, task, scratch, k, ahead);
    return ahead;
  }

  // patches(k, pixel), gathered unless they are there.
  static const A* find_patches(const CorrelationOperands<T>& operands, const Correlation& lattice,
                               const CorrelationTask& task, const CorrelationScratch<T>& scratch,
                               const PatchBlock& block) {
    const int64_t pixels = task.all_pixels(), pitch = row_pitch<A>(pixels);
    A* const patches = patches_at(task, scratch, block.first_k);
    if (task.has_patches) return patches;
    gather_columns(operands, lattice, task, block, scratch.segments, patches, pitch);
    clear_behind(patches, block.depth, pitch, pixels);
    return patches;
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

}  // namespace cnnops::CNNOPS_TARGET
