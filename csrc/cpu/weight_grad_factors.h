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

// Of channels_last tensors both are rows of a pixel's channels, which are read where they lie if
// their distance is the same throughout, else copied.
template <class T>
class PixelFactors {
 public:
  using A = Accumulate<T>;

  static constexpr LargestBlocks kLargest{256, 256, 128};

  PixelFactors(const WeightGradPlan& plan, Arena& arena)
      : patches_(arena.take<A>(plan.block_pixels() * row_pitch<A>(plan.depth.size))),
        gradients_(arena.take<A>(plan.block_pixels() * row_pitch<A>(plan.channels.size))) {}

  WeightGradFactors<A> gather(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                              const PixelBlock& block) const {
    const Rows gradients = find_gradients(operands, task, block);
    const Rows patches = find_patches(operands, task, block);
    return {gradients.data, kTileRows, 1, gradients.row, patches.data, patches.row};
  }

  static Ahead ahead_of(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                        const PixelBlock& next) {
    Ahead ahead;
    add_next(input_of(operands, task.group, next.first_image), operands.input_stride,
             {task.first_k, task.depth}, next, ahead);
    add_next(gradients_of(operands, task, next.first_image), operands.grad_output_stride,
             {0, task.channels}, next, ahead);
    return ahead;
  }

 private:
  using Rows = PixelRows<A>;
  // Of a pixel's channels.
  struct Part {
    int64_t first, count;
  };

  Rows find_gradients(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                      const PixelBlock& block) const {
    const auto source = [&](int64_t i) {
      return gradients_of(operands, task, block.first_image + i);
    };
    const Rows there = rows_in(source(0), operands.grad_output_stride, block);
    if (there.data != nullptr) return there;
    return copy_rows(source, block, {0, task.channels}, gradients_);
  }

  // Products read whole vectors of patches.
  Rows find_patches(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                    const PixelBlock& block) const {
    const auto source = [&](int64_t i) {
      return input_of(operands, task.group, block.first_image + i);
    };
    const Rows there = rows_in(source(0), operands.input_stride, block);
    if (there.data != nullptr && task.depth % lanes<A> == 0)
      return {there.data + task.first_k, there.row};
    const Rows copy = copy_rows(source, block, {task.first_k, task.depth}, patches_);
    clear_behind(patches_, block.all_pixels(), copy.row, task.depth);
    return copy;
  }

  // Rows that are multiples of a page apart are not read where they lie: they would share a few sets
  // of the L1 cache, and so would panels of one cache line where rows are multiples of 8 lines apart.
  static Rows rows_in(const PatchSource<T>& source, const Strides4& stride,
                      const PixelBlock& block) {
    constexpr int64_t kSize = sizeof(A), kLine = 64;
    constexpr int64_t kApart = kTileColumns<A> * kSize > kLine ? kPage : 8 * kLine;
    const Rows rows = rows_in_place(source, stride, block);
    return rows.row * kSize % kApart == 0 ? Rows{nullptr, 0} : rows;
  }

  // source(i) is that of the block's image i.
  template <class Source>
  static Rows copy_rows(const Source& source, const PixelBlock& block, const Part& part, A* to) {
    const int64_t row = row_pitch<A>(part.count);
    const PatchBlock patches{block.first_pixel, block.pixels, part.first, part.count};
    for (int64_t i = 0; i < block.images; ++i)
      PatchRows<T>(source(i), patches, to + i * block.pixels * row, row).gather();
    return {to, row};
  }

  // What a block reads, if that is all of the memory where it lies, or columns of it.
  static void add_next(const PatchSource<T>& source, const Strides4& stride, const Part& part,
                       const PixelBlock& next, Ahead& ahead) {
    const Correlation& lattice = source.lattice;
    const int64_t step = source_step(lattice, stride, next.images);
    if (part.count == stride.w * lattice.h.taps * lattice.w.taps) {
      add_rows(source.data - next.first_image * stride.n, stride, lattice, next, ahead);
    } else if (step != 0 && stride.c == 1) {
      ahead.add_columns(source.data + source_offset(lattice, stride, next.first_pixel) + part.first,
                        part.count, step);
    }
  }

  A *patches_, *gradients_;
};

// Of contiguous tensors grad_output is read where it lies, unless a block has several maps; patches
// are transposed.
template <class T>
class MapFactors {
 public:
  using A = Accumulate<T>;

  // Maps of 14 x 14 are one block of pixels; half the channels, so that the factors fit the L2 cache.
  static constexpr LargestBlocks kLargest{256, 128, 256};

  MapFactors(const WeightGradPlan& plan, Arena& arena)
      : patches_(arena.take<A>(plan.block_pixels() * row_pitch<A>(plan.depth.size))),
        columns_(arena.take<A>(kTileColumns<A> * row_pitch<A>(plan.pixels.size))),
        gradients_(arena.take<A>(plan.channels.size * row_pitch<A>(plan.block_pixels()))),
        segments_(arena.take<Segment>(plan.pixels.size)) {}

  WeightGradFactors<A> gather(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                              const PixelBlock& block) const {
    const int64_t row = row_pitch<A>(task.depth);
    for (int64_t i = 0; i < block.images; ++i) {
      transpose_patches(operands, input_of(operands, task.group, block.first_image + i), task,
                        block, patches_ + i * block.pixels * row);
    }
    clear_behind(patches_, block.all_pixels(), row, task.depth);
    const Gradients gradients = find_gradients(operands, task, block);
    return {gradients.data, kTileRows * gradients.row, gradients.row, 1, patches_, row};
  }

  // The next block's channels of both tensors, if a pixel reads a sample.
  static Ahead ahead_of(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                        const PixelBlock& next) {
    Ahead ahead;
    if (!reads_single_samples(operands.lattice)) return ahead;
    if (next.pixels < operands.pixels()) {
      add_part(input_of(operands, task.group, next.first_image), operands.input_stride,
               {task.first_k, task.first_k + task.depth}, next, ahead);
      add_part(gradients_of(operands, task, next.first_image), operands.grad_output_stride,
               {0, task.channels}, next, ahead);
      return ahead;
    }
    for (int64_t i = next.first_image; i < next.first_image + next.images; ++i) {
      ahead.add(input_of(operands, task.group, i).data + task.first_k * operands.input_stride.c,
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

  // Channels [first, last) of a block that is a part of a map, as many at a time as a tile is deep.
  static void add_part(const PatchSource<T>& source, const Strides4& stride, const Range& channels,
                       const PixelBlock& next, Ahead& ahead) {
    const T* pixels = source.data + source_offset(source.lattice, stride, next.first_pixel);
    const int64_t columns = source_offset(source.lattice, stride, next.pixels);
    for (int64_t c = channels.first; c < channels.last; c += next.pixels)
      ahead.add_columns(pixels + c * stride.c, columns, stride.c);
  }

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
