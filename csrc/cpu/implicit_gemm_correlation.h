// Correlation as an implicit matrix product, for the forward pass and the input gradient:
//
//   result(pixel, o) = bias(o) + sum_k patch(pixel, k) * filter(k, o)
//
// A task owns one image, one group, a block of pixels and a block of output channels; it gathers
// the patches of its pixels for a block of k at a time into scratch memory that fits the L2 cache,
// multiplies them with the filter, which is packed once a call, and writes its pixels once. Tasks
// share nothing they write, and their blocks depend on one image's shape alone, so that neither the
// batch nor the number of threads can change a bit.
//
// Results in channels_last have output channels in vectors and broadcast pixels; contiguous results
// have pixels in vectors and broadcast filter elements.
#pragma once

#include "blocking.h"
#include "gemm_tile.h"
#include "operands.h"
#include "patches.h"

namespace cnnops::CNNOPS_TARGET {

// Largest blocks. Patches take at most kBlockPixels * kBlockDepth accumulators, sums kBlockPixels *
// kBlockChannels.
inline constexpr int64_t kBlockPixels = 192, kBlockChannels = 256, kBlockDepth = 256;
static_assert(kBlockPixels % kTileRows == 0 && kBlockPixels % kTileColumns<float> == 0);

// The filter of one correlation as panels of `width` result channels: [group][panel][k][width],
// zeros at the end of the last panel. width is a tile's columns where channels fill vectors, a
// tile's rows where they are broadcast.
template <class A>
struct PackedFilter {
  int64_t depth, width, panels;  // panels of a group
  A* data;

  A* panel(int64_t group, int64_t index) const {
    return data + (group * panels + index) * depth * width;
  }
};

template <class T>
void pack_panel(const CorrelationOperands<T>& operands, const Correlation& lattice,
                const PackedFilter<Accumulate<T>>& packed, int64_t group, int64_t panel) {
  using A = Accumulate<T>;
  const FilterView<T>& filter = operands.filter;
  const int64_t first = panel * packed.width;
  const int64_t channels = smaller(packed.width, operands.produce - first);
  A* to = packed.panel(group, panel);
  for (int64_t r = 0; r < lattice.h.taps; ++r) {
    for (int64_t s = 0; s < lattice.w.taps; ++s) {
      const T* tap = filter.data + group * filter.group_stride + first * filter.produce_stride +
                     (lattice.h.tap_first + r * lattice.h.tap_step) * filter.row_stride +
                     (lattice.w.tap_first + s * lattice.w.tap_step) * filter.column_stride;
      for (int64_t c = 0; c < operands.reduce; ++c, to += packed.width) {
        load_run(tap + c * filter.reduce_stride, filter.produce_stride, to, channels);
        fill_run(to + channels, A(0), packed.width - channels);
      }
    }
  }
}

// How one correlation is cut, and the scratch memory it needs.
template <class T>
class CorrelationPlan {
 public:
  using A = Accumulate<T>;

  CorrelationPlan(const CorrelationOperands<T>& operands, const Correlation& lattice,
                  bool channels_last)
      : pixels(blocking(lattice.h.count * lattice.w.count, kBlockPixels,
                        channels_last ? kTileRows : kTileColumns<A>)),
        channels(blocking(operands.produce, kBlockChannels,
                          channels_last ? kTileColumns<A> : kTileRows)),
        depth(operands.reduce * lattice.h.taps * lattice.w.taps),
        width(channels_last ? kTileColumns<A> : int64_t(kTileRows)),
        tasks(operands.batch * operands.groups * pixels.count * channels.count) {}

  PackedFilter<A> take_filter(Arena& arena, int64_t groups, int64_t produce) const {
    const int64_t panels = divide_up(produce, width);
    return {depth, width, panels, arena.take<A>(groups * panels * depth * width)};
  }
  A* take_patches(Arena& arena) const {
    return arena.take<A>(pixels.size * smaller(depth, kBlockDepth));
  }
  A* take_sums(Arena& arena) const {
    return arena.take<A>(pixels.size * round_up(channels.size, kTileColumns<A>));
  }

  Blocking pixels, channels;
  int64_t depth, width, tasks;
};

// Scratch memory of one thread.
template <class T>
struct CorrelationScratch {
  Accumulate<T>* patches;
  Accumulate<T>* sums;
  Accumulate<T>* bias;
  typename PatchColumns<T>::Segment* segments;

  CorrelationScratch(const CorrelationPlan<T>& plan, Arena& arena)
      : patches(plan.take_patches(arena)),
        sums(plan.take_sums(arena)),
        bias(arena.take<Accumulate<T>>(round_up(plan.channels.size, lanes<Accumulate<T>>))),
        segments(arena.take<typename PatchColumns<T>::Segment>(plan.pixels.size)) {}
};

// What one task computes.
struct CorrelationTask {
  int64_t image, group;
  int64_t first_pixel, pixels;
  int64_t first_channel, channels;  // within the group
};

template <class T>
CorrelationTask correlation_task(const CorrelationOperands<T>& operands, const Correlation& lattice,
                                 const CorrelationPlan<T>& plan, int64_t index) {
  const int64_t channel_block = index % plan.channels.count;
  const int64_t pixel_block = index / plan.channels.count % plan.pixels.count;
  const int64_t map = index / plan.channels.count / plan.pixels.count;
  const int64_t first_pixel = pixel_block * plan.pixels.size,
                first_channel = channel_block * plan.channels.size;
  return {.image = map / operands.groups,
          .group = map % operands.groups,
          .first_pixel = first_pixel,
          .pixels = smaller(plan.pixels.size, lattice.h.count * lattice.w.count - first_pixel),
          .first_channel = first_channel,
          .channels = smaller(plan.channels.size, operands.produce - first_channel)};
}

template <class T>
PatchSource<T> patch_source(const CorrelationOperands<T>& operands, const Correlation& lattice,
                            const CorrelationTask& task) {
  const Strides4 stride = operands.source_stride;
  return {operands.source + task.image * stride.n + task.group * operands.reduce * stride.c,
          stride.c,
          stride.h,
          stride.w,
          operands.reduce,
          lattice};
}

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
    const PatchSource<T> source = patch_source(operands, lattice, task);
    fill_run(scratch.sums, A(0), task.pixels * sums_row);
    for (int64_t k = 0; k < filter.depth; k += kBlockDepth) {
      const PatchBlock block{task.first_pixel, task.pixels, k,
                             smaller(kBlockDepth, filter.depth - k)};
      PatchRows<T>(source, block, scratch.patches, block.depth).gather();
      multiply<A>({.rows = task.pixels,
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
    T* image = operands.result + task.image * stride.n + channel * stride.c;
    for (int64_t p = 0; p < task.pixels; ++p) {
      A* sums = scratch.sums + p * sums_row;
      for (int64_t c = 0; c < task.channels; c += lanes<A>)
        store(sums + c, load(sums + c) + load(bias + c));
      store_run(sums, image + result_offset(lattice, stride, task.first_pixel + p), stride.c,
                task.channels);
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
    const int64_t row = round_up(task.pixels, lanes<A>);
    const PatchSource<T> source = patch_source(operands, lattice, task);
    fill_run(scratch.sums, A(0), task.channels * row);
    for (int64_t k = 0; k < filter.depth; k += kBlockDepth) {
      const PatchBlock block{task.first_pixel, task.pixels, k,
                             smaller(kBlockDepth, filter.depth - k)};
      PatchColumns<T>(source, block, scratch.patches, row, scratch.segments).gather();
      multiply<A>({.rows = task.channels,
                   .columns = task.pixels,
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
  static void write(const CorrelationOperands<T>& operands, const Correlation& lattice,
                    const CorrelationTask& task, const CorrelationScratch<T>& scratch,
                    int64_t sums_row) {
    const Strides4& stride = operands.result_stride;
    const int64_t first = task.group * operands.produce + task.first_channel;
    T* image = operands.result + task.image * stride.n;
    for (int64_t c = 0; c < task.channels; ++c) {
      const A bias = operands.bias != nullptr ? load_scalar(operands.bias + first + c) : A(0);
      A* sums = scratch.sums + c * sums_row;
      for (int64_t p = 0; p < task.pixels; p += lanes<A>)
        store(sums + p, load(sums + p) + splat<A>(bias));
      write_channel(lattice, task, stride, sums, image + (first + c) * stride.c);
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
  const int64_t shared = arena.size();
  CorrelationScratch<T>(plan, arena);
  return shared + threads * (arena.size() - shared);
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
  const int64_t shared = arena.size();
  parallel(execution, plan.tasks, [&](int64_t index, int64_t slot) {
    Arena measure;
    CorrelationScratch<T>(plan, measure);
    Arena own(execution.workspace + shared + slot * measure.size());
    const CorrelationScratch<T> scratch(plan, own);
    Orientation::run(operands, lattice, filter, correlation_task(operands, lattice, plan, index),
                     scratch);
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
