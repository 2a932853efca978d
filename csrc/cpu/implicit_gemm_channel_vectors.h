// The implicit matrix product of results in channels_last: rows are pixels, whose patches are
// broadcast, columns are output channels.
#pragma once

#include "implicit_gemm_channel_sums.h"

namespace cnnops::CNNOPS_TARGET {

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
    const ChannelSums<T> sums(operands, lattice, task, scratch);
    // Parts of longer rows are written as far as they go; whole rows lie side by side anyway.
    const auto multiply_block =
        sums.row() > round_up(task.channels, kTileColumns<A>) ? multiply_rows<A> : multiply<A>;
    for (int64_t k = 0; k < filter.depth; k += filter.block) {
      const int64_t depth = filter.depth_from(k);
      const PatchMatrix<A> patches =
          find_patches(operands, lattice, task, scratch, {task.first_pixel, task.pixels, k, depth});
      Product<A> product = sums.product(filter, k, 0, task.all_pixels());
      product.depth = depth;
      product.scalars = patches.data;
      product.scalar_panel = kTileRows * patches.pixel_stride;
      product.scalar_row = patches.pixel_stride;
      product.scalar_depth = patches.k_stride;
      product.ahead = k + depth < filter.depth
                          ? ahead_of_block(operands, lattice, filter, task, scratch, k + depth)
                          : ahead_of_task(operands, lattice, filter, task, next, scratch);
      multiply_block(product);
    }
    sums.write();
  }

 private:
  static Ahead ahead_of_block(const CorrelationOperands<T>& operands, const Correlation& lattice,
                              const PackedFilter<A>& filter, const CorrelationTask& task,
                              const CorrelationScratch<T>& scratch, int64_t k) {
    Ahead ahead;
    add_filter(filter, task, k, ahead);
    add_patches(operands, lattice, filter, task, scratch, k, ahead);
    return ahead;
  }

  static Ahead ahead_of_task(const CorrelationOperands<T>& operands, const Correlation& lattice,
                             const PackedFilter<A>& filter, const CorrelationTask& task,
                             const CorrelationTask& next, const CorrelationScratch<T>& scratch) {
    Ahead ahead;
    add_patches(operands, lattice, filter, next, scratch, 0, ahead);
    if (operands.source_stride.c == 1 && !next.has_pixels_of(task))
      add_rows(operands.source, operands.source_stride, lattice, next.block(), ahead);
    add_filter(filter, next, 0, ahead);
    return ahead;
  }

  // Where they lie, or gathered as rows or columns, whichever the source has contiguous, unless they are
  // there.
  static PatchMatrix<A> find_patches(const CorrelationOperands<T>& operands,
                                     const Correlation& lattice, const CorrelationTask& task,
                                     const CorrelationScratch<T>& scratch,
                                     const PatchBlock& block) {
    const PixelRows<A> there = rows_in_place(patch_source(operands, lattice, task, 0),
                                             operands.source_stride, task.block());
    if (there.data != nullptr) return {there.data + block.first_k, there.row, 1};
    A* const patches = patches_at(task, scratch, block.first_k);
    if (operands.source_stride.c != 1) {
      const int64_t pitch = row_pitch<A>(task.all_pixels());
      if (!task.has_patches)
        gather_columns(operands, lattice, task, block, scratch.segments, patches, pitch);
      return {patches, 1, pitch};
    }
    if (!task.has_patches) gather_rows(operands, lattice, task, block, patches);
    return {patches, block.depth, 1};
  }

  // patches(image and pixel, k) at pixel * depth + k.
  static void gather_rows(const CorrelationOperands<T>& operands, const Correlation& lattice,
                          const CorrelationTask& task, const PatchBlock& block, A* patches) {
    for (int64_t image = 0; image < task.images; ++image) {
      PatchRows<T>(patch_source(operands, lattice, task, image), block,
                   patches + image * task.pixels * block.depth, block.depth)
          .gather();
    }
  }
};

}  // namespace cnnops::CNNOPS_TARGET
