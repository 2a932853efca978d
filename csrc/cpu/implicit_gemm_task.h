// What the tasks of an implicit matrix product share: where sums are built and what they start from,
// gathered columns of patches, what is fetched ahead.
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

// Where a task's patches from k on are in scratch memory, by rows or by columns.
template <class T>
Accumulate<T>* patches_at(const CorrelationTask& task, const CorrelationScratch<T>& scratch,
                          int64_t k) {
  const int64_t kept_before = task.keeps_patches ? k : 0;
  return scratch.patches + kept_before * row_pitch<Accumulate<T>>(task.all_pixels());
}

// Columns of patches in scratch memory: patches(k, image and pixel), at k * pitch.
template <class T>
void gather_columns(const CorrelationOperands<T>& operands, const Correlation& lattice,
                    const CorrelationTask& task, const PatchBlock& block,
                    typename PatchColumns<T>::Segment* segments, Accumulate<T>* patches,
                    int64_t pitch) {
  for (int64_t image = 0; image < task.images; ++image) {
    PatchColumns<T>(patch_source(operands, lattice, task, image), block,
                    patches + image * task.pixels, pitch, segments)
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

// The patches of a block of depth, or the samples of a contiguous source they are gathered from.
template <class T>
void add_patches(const CorrelationOperands<T>& operands, const Correlation& lattice,
                 const PackedFilter<Accumulate<T>>& filter, const CorrelationTask& task,
                 const CorrelationScratch<T>& scratch, int64_t k, Ahead& ahead) {
  const int64_t depth = filter.depth_from(k);
  if (task.has_patches) {
    ahead.add(patches_at(task, scratch, k), depth * row_pitch<Accumulate<T>>(task.all_pixels()));
  } else if (operands.source_stride.c != 1) {
    add_samples(operands, lattice, task, k, depth, ahead);
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

}  // namespace cnnops::CNNOPS_TARGET
