// The factors of a weight gradient's products, for a task and a block of pixels: grad_output, which
// is broadcast, and patches, which fill vectors.
#pragma once

#include "correlation_plan.h"
#include "transpose.h"
#include "weight_grad_plan.h"

namespace cnnops::CNNOPS_TARGET {

// grad_output in panels of kTileRows channels, as a Product takes them; patches(pixel, k) at pixel *
// patch_row + k.
template <class A>
struct WeightGradFactors {
  const A* gradients;
  int64_t gradient_panel, gradient_row, gradient_depth;
  const A* patches;
  int64_t patch_row;
};

// Of channels_last tensors both are gathered a pixel after the other.
template <class T>
class PixelFactors {
 public:
  using A = Accumulate<T>;

  PixelFactors(const WeightGradPlan& plan, Arena& arena)
      : patches_(arena.take<A>(plan.block_pixels() * row_pitch<A>(plan.depth.size))),
        gradients_(arena.take<A>(plan.block_pixels() * plan.channels.size)) {}

  WeightGradFactors<A> gather(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                              const PixelBlock& block) const {
    const int64_t row = row_pitch<A>(task.depth), panel = block.all_pixels() * kTileRows;
    const PatchBlock part{block.first_pixel, block.pixels, task.first_k, task.depth};
    for (int64_t i = 0; i < block.images; ++i) {
      PatchRows<T>(input_of(operands, task, block.first_image + i), part,
                   patches_ + i * block.pixels * row, row)
          .gather();
      gather_gradients(gradients_of(operands, task, block.first_image + i), block, panel,
                       gradients_ + i * block.pixels * kTileRows);
    }
    clear_behind(patches_, block.all_pixels(), row, task.depth);
    return {gradients_, panel, 1, kTileRows, patches_, row};
  }

  // What the next block gathers, if that is all of the memory where it lies.
  static Ahead ahead_of(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                        const PixelBlock& next) {
    Ahead ahead;
    if (task.depth == operands.depth() && operands.shape.groups == 1)
      add_rows(operands.input, operands.input_stride, operands.lattice, next, ahead);
    if (task.channels == operands.shape.out_channels) {
      add_rows(operands.grad_output, operands.grad_output_stride, operands.output_lattice(), next,
               ahead);
    }
    return ahead;
  }

 private:
  // Panels of channels, [panel][pixel][kTileRows].
  static void gather_gradients(const PatchSource<T>& source, const PixelBlock& block, int64_t panel,
                               A* to) {
    const int64_t columns = source.lattice.w.count, whole = source.channels / kTileRows;
    const int64_t rest = source.channels % kTileRows;
    int64_t i = block.first_pixel / columns, j = block.first_pixel % columns;
    for (int64_t p = 0; p < block.pixels; ++p, to += kTileRows) {
      const T* from = source.data + i * source.row_stride + j * source.column_stride;
      if (++j == columns) ++i, j = 0;
      A* piece = to;
      for (int64_t c = 0; c < whole; ++c, piece += panel, from += kTileRows * source.channel_stride)
        load_rows(from, source.channel_stride, piece);
      load_run(from, source.channel_stride, piece, rest);
    }
  }

  static CNNOPS_INLINE void load_rows(const T* from, int64_t stride, A* to) {
    if (stride != 1) return load_run(from, stride, to, kTileRows);
#pragma GCC unroll 16
    for (int i = 0; i < kTileRows; ++i) to[i] = load_scalar(from + i);
  }

  A *patches_, *gradients_;
};

// Of contiguous tensors grad_output is read where it lies, unless a block has several maps; patches
// are transposed.
template <class T>
class MapFactors {
 public:
  using A = Accumulate<T>;

  MapFactors(const WeightGradPlan& plan, Arena& arena)
      : patches_(arena.take<A>(plan.block_pixels() * row_pitch<A>(plan.depth.size))),
        columns_(arena.take<A>(kTileColumns<A> * row_pitch<A>(plan.pixels.size))),
        gradients_(arena.take<A>(plan.channels.size * row_pitch<A>(plan.block_pixels()))),
        segments_(arena.take<Segment>(plan.pixels.size)) {}

  WeightGradFactors<A> gather(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                              const PixelBlock& block) const {
    const int64_t row = row_pitch<A>(task.depth);
    for (int64_t i = 0; i < block.images; ++i) {
      transpose_patches(operands, input_of(operands, task, block.first_image + i), task, block,
                        patches_ + i * block.pixels * row);
    }
    clear_behind(patches_, block.all_pixels(), row, task.depth);
    const Gradients gradients = find_gradients(operands, task, block);
    return {gradients.data, kTileRows * gradients.row, gradients.row, 1, patches_, row};
  }

  // The next block's channels of both tensors, if it has whole maps and a pixel reads a sample.
  static Ahead ahead_of(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                        const PixelBlock& next) {
    Ahead ahead;
    if (next.pixels < operands.pixels() || !reads_single_samples(operands.lattice)) return ahead;
    for (int64_t i = next.first_image; i < next.first_image + next.images; ++i) {
      ahead.add(input_of(operands, task, i).data + task.first_k * operands.input_stride.c,
                task.depth * operands.input_stride.c);
      ahead.add(gradients_of(operands, task, i).data,
                task.channels * operands.grad_output_stride.c);
    }
    return ahead;
  }

 private:
  using Segment = typename PatchColumns<T>::Segment;
  struct Gradients {
    const A* data;
    int64_t row;
  };

  void transpose_patches(const WeightGradOperands<T>& operands, const PatchSource<T>& source,
                         const WeightGradTask& task, const PixelBlock& block, A* to) const {
    const int64_t row = row_pitch<A>(task.depth);
    const Strides4& stride = operands.input_stride;
    if (source_step(operands.lattice, stride, 1) == 1) {
      const T* first = source.data + task.first_k * stride.c +
                       source_offset(operands.lattice, stride, block.first_pixel);
      return transpose_copy(first, stride.c, to, row, task.depth, block.pixels);
    }
    const int64_t pitch = row_pitch<A>(block.pixels);
    for (int64_t k = 0; k < task.depth; k += kTileColumns<A>) {
      const int64_t depth = smaller(kTileColumns<A>, task.depth - k);
      const PatchBlock part{block.first_pixel, block.pixels, task.first_k + k, depth};
      PatchColumns<T>(source, part, columns_, pitch, segments_).gather();
      transpose_copy(columns_, pitch, to + k, row, depth, block.pixels);
    }
  }

  Gradients find_gradients(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                           const PixelBlock& block) const {
    const Strides4& stride = operands.grad_output_stride;
    const Correlation lattice = operands.output_lattice();
    PatchSource<T> source = gradients_of(operands, task, block.first_image);
    const auto* data = accumulators(source.data);
    if (data != nullptr && source_step(lattice, stride, block.images) == 1)
      return {data + block.first_pixel, stride.c};
    const int64_t pitch = row_pitch<A>(block.all_pixels());
    const PatchBlock part{block.first_pixel, block.pixels, 0, task.channels};
    for (int64_t i = 0; i < block.images; ++i, source.data += stride.n) {
      PatchColumns<T>(source, part, gradients_ + i * block.pixels, pitch, segments_).gather();
    }
    return {gradients_, pitch};
  }

  A *patches_, *columns_, *gradients_;
  Segment* segments_;
};

}  // namespace cnnops::CNNOPS_TARGET
