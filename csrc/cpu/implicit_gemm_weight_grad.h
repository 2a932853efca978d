// The weight gradient as an implicit matrix product:
//
//   grad_weight(k, o) = sum_pixel patch(pixel, k) * grad_output(pixel, o)
//
// A task owns a block of k (filter row, filter column, input channel) by a block of output
// channels, for a run of images; it walks over their pixels in order. The runs of images give
// partial sums, which are added in order at the end: what is summed with what depends on the shape
// alone, never on threads.
#pragma once

#include "implicit_gemm_correlation.h"

namespace cnnops::CNNOPS_TARGET {

// Images are cut into runs until there are kBatchTasks tasks, as long as a run keeps kRunPixels, so
// that the work on its partial sums is worth their memory, and all partial sums stay below
// kPartialBytes. One run there always is, with sums as large as the weight.
inline constexpr int64_t kRunPixels = 1024, kPartialBytes = 8 << 20;

template <class T>
struct WeightGradOperands {
  Conv2dShape shape;
  Correlation lattice;
  const T* input;
  Strides4 input_stride;
  const T* grad_output;
  Strides4 grad_output_stride;
  T* grad_weight;  // contiguous
  bool channels_last;

  int64_t reduce() const { return shape.in_channels / shape.groups; }
  int64_t produce() const { return shape.out_channels / shape.groups; }
  int64_t depth() const { return reduce() * shape.kernel.h * shape.kernel.w; }
  int64_t pixels() const { return shape.output.h * shape.output.w; }
};

template <class T>
class WeightGradPlan {
 public:
  using A = Accumulate<T>;

  explicit WeightGradPlan(const WeightGradOperands<T>& operands)
      : rows(blocking(operands.depth(), kBlockDepth, kTileRows)),
        channels(blocking(operands.produce(), kBlockChannels, kTileColumns<A>)),
        pixels(blocking(operands.pixels(), kBlockDepth, 1)),
        images_of_block(larger<int64_t>(1, kBlockDepth / operands.pixels())),
        sums_row(round_up(channels.size, lanes<A>)),
        block_sums(rows.size * sums_row),
        blocks(operands.shape.groups * rows.count * channels.count) {
    const int64_t bytes = blocks * block_sums * int64_t(sizeof(A)), batch = operands.shape.batch;
    const int64_t affordable = kPartialBytes / larger<int64_t>(1, bytes);
    const int64_t worthwhile = smaller(affordable, batch * operands.pixels() / kRunPixels);
    const int64_t wanted = divide_up(kBatchTasks, larger<int64_t>(1, blocks));
    images = blocking(batch, divide_up(batch, larger<int64_t>(1, smaller(worthwhile, wanted))), 1);
  }

  // Partial sums: [run of images][group][block of k][block of channels][k][channel].
  A* take_partials(Arena& arena) const { return arena.take<A>(images.count * blocks * block_sums); }

  // Pixels whose products are summed in registers: a part of one map, or a few small maps.
  int64_t block_pixels() const { return images_of_block * pixels.size; }

  Blocking rows, channels, pixels, images;
  int64_t images_of_block, sums_row, block_sums, blocks;
};

template <class T>
struct WeightGradScratch {
  Accumulate<T>* patches;
  Accumulate<T>* gradients;
  typename PatchColumns<T>::Segment* segments;

  WeightGradScratch(const WeightGradPlan<T>& plan, Arena& arena)
      : patches(arena.take<Accumulate<T>>(plan.block_pixels() * plan.rows.size)),
        gradients(arena.take<Accumulate<T>>(plan.block_pixels() * plan.sums_row)),
        segments(arena.take<typename PatchColumns<T>::Segment>(plan.pixels.size)) {}
};

struct WeightGradTask {
  int64_t first_image, images;
  int64_t group;
  int64_t first_k, rows;
  int64_t first_channel, channels;  // within the group
};

template <class T>
WeightGradTask weight_grad_task(const WeightGradOperands<T>& operands,
                                const WeightGradPlan<T>& plan, int64_t index) {
  const int64_t channel_block = index % plan.channels.count;
  const int64_t row_block = index / plan.channels.count % plan.rows.count;
  const int64_t group = index / plan.channels.count / plan.rows.count % operands.shape.groups;
  const int64_t first_image = index / plan.blocks * plan.images.size;
  const int64_t first_k = row_block * plan.rows.size,
                first_channel = channel_block * plan.channels.size;
  return {.first_image = first_image,
          .images = smaller(plan.images.size, operands.shape.batch - first_image),
          .group = group,
          .first_k = first_k,
          .rows = smaller(plan.rows.size, operands.depth() - first_k),
          .first_channel = first_channel,
          .channels = smaller(plan.channels.size, operands.produce() - first_channel)};
}

// gradients[pixel * row + channel] for a block of pixels and channels; the rest of a row is zero.
template <class T>
void gather_gradients(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                      int64_t image, int64_t first_pixel, int64_t pixels, Accumulate<T>* gradients,
                      int64_t row) {
  using A = Accumulate<T>;
  const Strides4& stride = operands.grad_output_stride;
  const int64_t columns = operands.shape.output.w;
  const T* from = operands.grad_output + image * stride.n +
                  (task.group * operands.produce() + task.first_channel) * stride.c;
  for (int64_t p = 0; p < pixels; ++p) {
    const int64_t pixel = first_pixel + p;
    A* to = gradients + p * row;
    load_run(from + pixel / columns * stride.h + pixel % columns * stride.w, stride.c, to,
             task.channels);
    fill_run(to + task.channels, A(0), row - task.channels);
  }
}

// The pixels [first_pixel, first_pixel + pixels) of a few images.
struct PixelBlock {
  int64_t first_image, images;
  int64_t first_pixel, pixels;
};

// patches(k, pixel) of the block, laid out as the layout of the input suggests; returns the strides
// of k and pixel.
template <class T>
std::pair<int64_t, int64_t> gather_patches(const WeightGradOperands<T>& operands,
                                           const WeightGradTask& task, const PixelBlock& block,
                                           const WeightGradScratch<T>& scratch) {
  const Strides4& stride = operands.input_stride;
  const PatchBlock part{block.first_pixel, block.pixels, task.first_k, task.rows};
  const int64_t row = operands.channels_last ? task.rows : block.images * block.pixels;
  for (int64_t image = 0; image < block.images; ++image) {
    const PatchSource<T> source{operands.input + (block.first_image + image) * stride.n +
                                    task.group * operands.reduce() * stride.c,
                                stride.c,
                                stride.h,
                                stride.w,
                                operands.reduce(),
                                operands.lattice};
    if (operands.channels_last) {
      PatchRows<T>(source, part, scratch.patches + image * block.pixels * row, row).gather();
    } else {
      PatchColumns<T>(source, part, scratch.patches + image * block.pixels, row, scratch.segments)
          .gather();
    }
  }
  return operands.channels_last ? std::pair{int64_t(1), row} : std::pair{row, int64_t(1)};
}

template <class T>
void accumulate_block(const WeightGradOperands<T>& operands, const WeightGradPlan<T>& plan,
                      const WeightGradTask& task, const PixelBlock& block,
                      const WeightGradScratch<T>& scratch, Accumulate<T>* sums) {
  using A = Accumulate<T>;
  const auto [k_stride, pixel_stride] = gather_patches(operands, task, block, scratch);
  for (int64_t image = 0; image < block.images; ++image) {
    gather_gradients(operands, task, block.first_image + image, block.first_pixel, block.pixels,
                     scratch.gradients + image * block.pixels * plan.sums_row, plan.sums_row);
  }
  multiply<A>({.rows = task.rows,
               .columns = round_up(task.channels, lanes<A>),
               .depth = block.images * block.pixels,
               .scalars = scratch.patches,
               .scalar_panel = kTileRows * k_stride,
               .scalar_row = k_stride,
               .scalar_depth = pixel_stride,
               .vectors = scratch.gradients,
               .vector_panel = kTileColumns<A>,
               .vector_depth = plan.sums_row,
               .start = sums,
               .start_panel = kTileColumns<A>,
               .start_row = plan.sums_row,
               .sums = sums,
               .sums_row = plan.sums_row});
}

template <class T>
void accumulate(const WeightGradOperands<T>& operands, const WeightGradPlan<T>& plan,
                const WeightGradTask& task, const WeightGradScratch<T>& scratch,
                Accumulate<T>* sums) {
  for (int64_t image = 0; image < task.images; image += plan.images_of_block) {
    for (int64_t pixel = 0; pixel < operands.pixels(); pixel += plan.pixels.size) {
      const PixelBlock block{task.first_image + image,
                             smaller(plan.images_of_block, task.images - image), pixel,
                             smaller(plan.pixels.size, operands.pixels() - pixel)};
      accumulate_block(operands, plan, task, block, scratch, sums);
    }
  }
}

// Adds the runs of images in order and writes filters (group, channel) in the weight's layout, (r,
// s, c) -> (c, r, s).
template <class T>
void write_filter(const WeightGradOperands<T>& operands, const WeightGradPlan<T>& plan,
                  const Accumulate<T>* partials, int64_t filter) {
  using A = Accumulate<T>;
  const int64_t group = filter / operands.produce(), channel = filter % operands.produce();
  const int64_t channel_block = channel / plan.channels.size, column = channel % plan.channels.size;
  const int64_t taps = operands.shape.kernel.h * operands.shape.kernel.w;
  T* to = operands.grad_weight + filter * operands.depth();
  for (int64_t k = 0; k < operands.depth(); ++k) {
    const int64_t block =
        (group * plan.rows.count + k / plan.rows.size) * plan.channels.count + channel_block;
    const A* from =
        partials + block * plan.block_sums + k % plan.rows.size * plan.sums_row + column;
    A sum = 0;
    for (int64_t run = 0; run < plan.images.count; ++run)
      sum += from[run * plan.blocks * plan.block_sums];
    store_scalar(to + k % operands.reduce() * taps + k / operands.reduce(), sum);
  }
}

template <class T>
int64_t weight_grad_workspace(const WeightGradOperands<T>& operands, int64_t threads) {
  const WeightGradPlan<T> plan(operands);
  Arena arena;
  plan.take_partials(arena);
  return workspace_bytes(arena, threads,
                         [&](Arena& own) { return WeightGradScratch<T>(plan, own); });
}

template <class T>
void weight_grad(const WeightGradOperands<T>& operands, const Execution& execution) {
  using A = Accumulate<T>;
  const WeightGradPlan<T> plan(operands);
  Arena arena(execution.workspace);
  A* partials = plan.take_partials(arena);
  const ScratchBySlot scratch(execution, arena,
                              [&](Arena& own) { return WeightGradScratch<T>(plan, own); });
  parallel(execution, plan.images.count * plan.blocks, [&](int64_t index, int64_t slot) {
    const WeightGradTask task = weight_grad_task(operands, plan, index);
    A* sums = partials + index * plan.block_sums;
    fill_run(sums, A(0), plan.block_sums);
    accumulate(operands, plan, task, scratch(slot), sums);
  });
  parallel(execution, operands.shape.out_channels,
           [&](int64_t filter, int64_t) { write_filter(operands, plan, partials, filter); });
}

}  // namespace cnnops::CNNOPS_TARGET
