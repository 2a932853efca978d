// How a weight gradient is cut into tasks.
//
// A task owns a block of output channels by a block of k (filter row, filter column, input channel),
// for a run of images; it walks over their pixels in order. The runs of images give partial sums,
// which are added in order at the end: what is summed with what depends on the shape alone, never on
// threads.
#pragma once

#include "blocking.h"
#include "gemm_tile.h"
#include "operands.h"
#include "patches.h"

namespace cnnops::CNNOPS_TARGET {

// Largest blocks: patches of a block of pixels fit the L2 cache together with the sums.
struct LargestBlocks {
  int64_t channels, depth, pixels;
};

// Images are cut into runs until there are kBatchTasks tasks, as long as a run keeps kRunPixels, so
// that the work on its partial sums is worth their memory, and all partial sums stay below
// kPartialBytes. One run there always is.
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

  int64_t reduce() const { return shape.in_channels / shape.groups; }
  int64_t produce() const { return shape.out_channels / shape.groups; }
  int64_t taps() const { return shape.kernel.h * shape.kernel.w; }
  int64_t depth() const { return reduce() * taps(); }
  int64_t pixels() const { return shape.output.h * shape.output.w; }

  // The block of as many pixels or images behind a block, which may lie behind the last image.
  PixelBlock block_behind(const PixelBlock& block) const {
    const int64_t pixel = block.first_pixel + block.pixels;
    if (pixel < pixels())
      return {block.first_image, block.images, pixel, smaller(block.pixels, pixels() - pixel)};
    const int64_t image = block.first_image + block.images;
    return {image, smaller(block.images, shape.batch - image), 0, block.pixels};
  }

  // The lattice of grad_output's own samples.
  Correlation output_lattice() const {
    const auto axis = [](int64_t size) {
      return CorrelationAxis{size, 0, 1, size, 1, 0, 1, 1, 0, 1};
    };
    return {axis(shape.output.h), axis(shape.output.w)};
  }
};

template <class T>
WeightGradOperands<T> weight_grad_operands(const Conv2dProblem& problem,
                                           const Conv2dTensors& tensors) {
  const Lattices lattices = forward_lattices(window_grid(problem.shape));
  return {problem.shape,
          {lattices.rows[0], lattices.columns[0]},
          static_cast<const T*>(tensors.input.data),
          tensors.input.stride,
          static_cast<const T*>(tensors.output.data),
          tensors.output.stride,
          static_cast<T*>(tensors.weight.data)};
}

class WeightGradPlan {
 public:
  template <class T>
  WeightGradPlan(const WeightGradOperands<T>& operands, const LargestBlocks& largest)
      : channels(blocking(operands.produce(), largest.channels, kTileRows)),
        depth(blocking(operands.depth(), largest.depth, kTileColumns<Accumulate<T>>)),
        panel(kTileColumns<Accumulate<T>>),
        panels(divide_up(operands.depth(), panel)),
        pixels(blocking(operands.pixels(), largest.pixels, 1)),
        images_of_block(larger<int64_t>(1, largest.pixels / operands.pixels())),
        blocks(operands.shape.groups * channels.count * depth.count) {
    const int64_t bytes = blocks * channels.size * depth.size * int64_t(sizeof(Accumulate<T>));
    const int64_t batch = operands.shape.batch;
    const int64_t affordable = kPartialBytes / larger<int64_t>(1, bytes);
    const int64_t worthwhile = smaller(affordable, batch * operands.pixels() / kRunPixels);
    const int64_t wanted = divide_up(kBatchTasks, larger<int64_t>(1, blocks));
    const int64_t runs = larger<int64_t>(1, smaller(worthwhile, wanted));
    images = blocking(larger<int64_t>(1, batch), larger<int64_t>(1, divide_up(batch, runs)), 1);
  }

  // Pixels whose products are summed in registers: a part of one map, or a few small maps.
  int64_t block_pixels() const { return smaller(images_of_block, images.size) * pixels.size; }

  // Blocks of k are whole panels of tiles, about equally many.
  int64_t first_k(int64_t block) const { return block * panels / depth.count * panel; }

  Blocking channels, depth;
  int64_t panel, panels;  // k of a panel, and how many there are
  Blocking pixels, images;
  int64_t images_of_block, blocks;
};

struct WeightGradTask {
  int64_t first_image, images;
  int64_t group;
  int64_t first_channel, channels;  // within the group
  int64_t first_k, depth;
};

template <class T>
WeightGradTask weight_grad_task(const WeightGradOperands<T>& operands, const WeightGradPlan& plan,
                                int64_t index) {
  const int64_t channel_block = index % plan.channels.count;
  const int64_t depth_block = index / plan.channels.count % plan.depth.count;
  const int64_t group = index / plan.channels.count / plan.depth.count % operands.shape.groups;
  const int64_t first_image = index / plan.blocks * plan.images.size;
  const int64_t first_channel = channel_block * plan.channels.size;
  const int64_t first_k = plan.first_k(depth_block);
  return {.first_image = first_image,
          .images = smaller(plan.images.size, operands.shape.batch - first_image),
          .group = group,
          .first_channel = first_channel,
          .channels = smaller(plan.channels.size, operands.produce() - first_channel),
          .first_k = first_k,
          .depth = smaller(plan.first_k(depth_block + 1), operands.depth()) - first_k};
}

template <class T>
PatchSource<T> input_of(const WeightGradOperands<T>& operands, int64_t group, int64_t image) {
  const Strides4& stride = operands.input_stride;
  return {operands.input + image * stride.n + group * operands.reduce() * stride.c,
          stride.c,
          stride.h,
          stride.w,
          operands.reduce(),
          operands.lattice};
}

// grad_output's channels of a task.
template <class T>
PatchSource<T> gradients_of(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                            int64_t image) {
  const Strides4& stride = operands.grad_output_stride;
  return {operands.grad_output + image * stride.n +
              (task.group * operands.produce() + task.first_channel) * stride.c,
          stride.c,
          stride.h,
          stride.w,
          task.channels,
          operands.output_lattice()};
}

}  // namespace cnnops::CNNOPS_TARGET
