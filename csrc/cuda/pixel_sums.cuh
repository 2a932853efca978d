// Sums over the pixels of all images: of grad_output for each channel (the bias gradient), and of its
// products with the input for each weight, where groups have few channels. A block adds up one part
// of the pixels for some items: lanes go along pixels, or along channels where these lie next to
// each other, and a tree in shared memory adds the lanes of an item. Which thread adds what depends
// on the shape alone.
#pragma once

#include "conv2d_parameters.h"
#include "divider.cuh"
#include "numbers.cuh"
#include "tile.cuh"

namespace cnnops::cuda {

// An output pixel: image, row, column.
struct OutputPixel {
  int64_t n, p, q;
};

inline __device__ OutputPixel output_pixel(const PixelSumParameters& parameters, int64_t pixel) {
  const int64_t q = take_digit(pixel, parameters.output_w);
  const int64_t p = take_digit(pixel, parameters.output_h);
  return {pixel, p, q};
}

// grad_output of channel `item`.
template <class Storage>
struct BiasGrad {
  const PixelSumParameters& parameters;
  const Storage* grad_output;

  __device__ BiasGrad(const PixelSumParameters& all, int64_t item)
      : parameters(all),
        grad_output(static_cast<const Storage*>(all.grad_output) + item * all.grad_stride.c) {}

  __device__ void add(Accumulate<Storage>& sum, const OutputPixel& at) const {
    const Strides4& stride = parameters.grad_stride;
    sum += widen(grad_output[at.n * stride.n + at.p * stride.h + at.q * stride.w]);
  }
};

// A weight: its output channel, its channel in the group, its tap.
struct WeightItem {
  int64_t out_channel, channel, r, s;
};

inline __device__ WeightItem weight_item(const PixelSumParameters& parameters, int64_t index) {
  WeightItem item;
  if (parameters.order == TapOrder::kChannelsInner) {
    item.out_channel = take_digit(index, parameters.out_channels);
    item.channel = take_digit(index, parameters.reduce);
  }
  item.s = take_digit(index, parameters.kernel_w);
  item.r = take_digit(index, parameters.kernel_h);
  if (parameters.order == TapOrder::kChannelsOuter) {
    item.channel = take_digit(index, parameters.reduce);
    item.out_channel = index;
  }
  return item;
}

// grad_output times the input under a weight.
template <class Storage>
struct WeightGrad {
  const PixelSumParameters& parameters;
  const Storage *grad_output, *input;
  int64_t first_h, first_w;  // of the input under output (0, 0)

  __device__ WeightGrad(const PixelSumParameters& all, int64_t index) : parameters(all) {
    const WeightItem item = weight_item(all, index);
    const int64_t group = item.out_channel / all.group_channels;
    grad_output =
        static_cast<const Storage*>(all.grad_output) + item.out_channel * all.grad_stride.c;
    input = static_cast<const Storage*>(all.input) +
            (group * all.reduce.divisor + item.channel) * all.input_stride.c;
    first_h = item.r * all.dilation.h - all.padding_top;
    first_w = item.s * all.dilation.w - all.padding_left;
  }

  __device__ void add(Accumulate<Storage>& sum, const OutputPixel& at) const {
    const int64_t h = at.p * parameters.stride.h + first_h;
    const int64_t w = at.q * parameters.stride.w + first_w;
    if (h < 0 || h >= parameters.input_map.h || w < 0 || w >= parameters.input_map.w) return;
    const Strides4 &grad = parameters.grad_stride, &stride = parameters.input_stride;
    sum = fma(widen(grad_output[at.n * grad.n + at.p * grad.h + at.q * grad.w]),
              widen(input[at.n * stride.n + h * stride.h + w * stride.w]), sum);
  }
};

// Adds the sums of threads that are a multiple of `stride` apart; the first `stride` threads get
// the totals. kThreads / stride is a power of two.
template <class Sum>
__device__ Sum tree_sum(Sum sum, int stride) {
  __shared__ Sum sums[kThreads];
  sums[threadIdx.x] = sum;
  for (int half = kThreads / 2; half >= stride; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] = sum += sums[threadIdx.x + half];
  }
  return sum;
}

template <class Storage, template <class> class Term>
__global__ void __launch_bounds__(kThreads)
    pixel_sums(const __grid_constant__ PixelSumParameters parameters) {
  const int64_t split = int64_t(blockIdx.x) / parameters.item_blocks;
  const int lane = threadIdx.x / parameters.items_per_block;
  const int lanes = kThreads / parameters.items_per_block;
  const int64_t item =
      (blockIdx.x - split * parameters.item_blocks.divisor) * parameters.items_per_block +
      threadIdx.x % parameters.items_per_block;

  Accumulate<Storage> sum = 0;
  if (item < parameters.items) {
    const Term<Storage> term(parameters, item);
    const int64_t first = split * parameters.pixels_per_split;
    const int64_t last = min(first + parameters.pixels_per_split, parameters.pixels);
    for (int64_t pixel = first + lane; pixel < last; pixel += lanes)
      term.add(sum, output_pixel(parameters, pixel));
  }
  sum = tree_sum(sum, parameters.items_per_block);
  if (threadIdx.x < parameters.items_per_block && item < parameters.items) {
    static_cast<Accumulate<Storage>*>(parameters.partial)[split * parameters.items + item] = sum;
  }
}

}  // namespace cnnops::cuda
