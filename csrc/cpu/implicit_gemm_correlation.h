// Correlation as an implicit matrix product, for the forward pass and the input gradient:
//
//   result(pixel, o) = bias(o) + sum_k patch(pixel, k) * filter(k, o)
//
// A task gathers the patches of its pixels for a block of k at a time into scratch memory that fits
// the L2 cache, multiplies them with the filter, which is packed once a call, and writes its pixels
// once. Where the tensors' layout allows it, patches are read in the source, or in padded copies of
// its rows, and sums built in the result. Tasks share nothing they write, and the order of a sum
// depends on one image's shape alone, so that neither the batch nor the number of threads can change
// a bit.
//
// Results in channels_last have output channels in vectors and broadcast pixels; contiguous results
// have pixels in vectors and broadcast filter elements, unless their maps are too small for that.
#pragma once

#include "implicit_gemm_channel_vectors.h"
#include "implicit_gemm_pixel_vectors.h"
#include "implicit_gemm_window_rows.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
int64_t correlation_workspace(const CorrelationOperands<T>& operands, const Correlation& lattice,
                              bool channels_last, int64_t threads) {
  const CorrelationPlan<T> plan(operands, lattice, channels_last, threads);
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
  parallel_ranges(execution, plan.tasks, [&](int64_t first, int64_t last, int64_t slot) {
    for (int64_t index = first; index < last; ++index) {
      CorrelationTask task = correlation_task(operands, plan, index);
      task.has_patches &= index > first;
      Orientation::run(operands, lattice, filter, task,
                       correlation_task(operands, plan, smaller(index + 1, plan.tasks - 1)),
                       scratch(slot));
    }
  });
}

template <class T>
void correlate(const CorrelationOperands<T>& operands, const Correlation& lattice,
               bool channels_last, const Execution& execution) {
  const CorrelationPlan<T> plan(operands, lattice, channels_last, execution.threads);
  if (plan.window_rows) {
    run_correlation<T, WindowRows<T>>(operands, lattice, plan, execution);
  } else if (plan.channel_vectors) {
    run_correlation<T, ChannelVectors<T>>(operands, lattice, plan, execution);
  } else {
    run_correlation<T, PixelVectors<T>>(operands, lattice, plan, execution);
  }
}

}  // namespace cnnops::CNNOPS_TARGET
