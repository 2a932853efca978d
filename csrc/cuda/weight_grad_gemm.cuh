// The weight gradient as an implicit matrix product: grad_output^T (channels x pixels) times the
// input patches (pixels x weights of a group), which are never laid out in memory.
//
// A block computes kRows output channels x kColumns weights of one group over one part of the pixels
// of all images, in steps of as many pixels as 64 bytes hold, and writes its sums to a workspace;
// sum_partials.cuh adds the parts in their order. Where pixels lie is worked out once, by one thread a
// pixel, for a batch of steps. How the tiles are filled is the Loader's: grad_gather.cuh,
// grad_chunks.cuh.
#pragma once

#include "conv2d_parameters.h"
#include "divider.cuh"
#include "numbers.cuh"
#include "ptx.cuh"
#include "tile.cuh"

namespace cnnops::cuda {

// An output pixel: where it lies in grad_output, and the first sample of its window in the input, by
// its place in memory and its row (x) and column (y). Behind the last pixel `grad` is negative and the
// row kOutside.
struct GradPixel {
  int64_t grad, input;  // bytes
  int2 first;

  __device__ bool exists() const { return grad >= 0; }
};

// The part of a weight gradient that a block computes.
struct GradPlace {
  int64_t split, group, first_row, first_column;
  int64_t first_pixel, last_pixel;

  template <class Math>
  __device__ void find(const WeightGradParameters& parameters) {
    int64_t block = blockIdx.x;
    first_column = take_digit(block, parameters.column_tiles) * Math::kColumns;
    first_row = take_digit(block, parameters.row_tiles) * Math::kRows;
    group = take_digit(block, parameters.groups);
    split = block;
    const int64_t span = parameters.steps_per_split * kRow<typename Math::Operand>;
    first_pixel = split * span;
    last_pixel = min(first_pixel + span, parameters.pixels);
  }
};

template <class Math>
struct GradShared {
  static constexpr int kPixels = kRow<typename Math::Operand>;  // of a step
  // Steps whose pixels are found at once, one by a thread; a multiple of kStages.
  static constexpr int kBatch = kThreads / kPixels / kStages * kStages;

  uint4 tiles[kStages][(Math::kRows + Math::kColumns) * kChunks];
  GradPixel pixels[2][kThreads];  // of this batch of steps and the next
  SourceTap taps[Math::kColumns];
  GradPlace place;

  static_assert(sizeof(GradPixel) == kGradPixelBytes && sizeof(GradPlace) == kGradPlaceBytes);

  __device__ uint4* grad_tile(int stage) { return tiles[stage]; }
  __device__ uint4* input_tile(int stage) { return tiles[stage] + Math::kRows * kChunks; }

  // Of a step counted from the first of a batch, and less than a batch beyond it.
  __device__ const GradPixel* pixels_of(int batch, int step) const {
    return step < kBatch ? pixels[batch % 2] + step * kPixels
                         : pixels[(batch + 1) % 2] + (step - kBatch) * kPixels;
  }

  // One thread a pixel.
  __device__ void locate_pixels(const WeightGradParameters& parameters, int batch) {
    if (threadIdx.x >= kBatch * kPixels) return;
    const int64_t index = place.first_pixel + int64_t(batch) * kBatch * kPixels + threadIdx.x;
    GradPixel pixel{-1, 0, {kOutside, 0}};
    if (index < place.last_pixel) {
      int64_t n = index;
      const int64_t q = take_digit(n, parameters.output_w);
      const int64_t p = take_digit(n, parameters.output_h);
      const Strides4 &grad = parameters.grad_stride, &input = parameters.input_stride;
      const int h = int(p) * parameters.stride_h - parameters.padding_top;
      const int w = int(q) * parameters.stride_w - parameters.padding_left;
      pixel = {(n * grad.n + p * grad.h + q * grad.w) * parameters.element_bytes,
               (n * input.n + h * input.h + w * input.w) * parameters.element_bytes,
               {h, w}};
    }
    pixels[batch % 2][threadIdx.x] = pixel;
  }

  __device__ void locate_columns(const WeightGradParameters& parameters) {
    for (int column = threadIdx.x; column < Math::kColumns; column += kThreads) {
      const int64_t index = place.first_column + column;
      taps[column] =
          index < parameters.columns ? parameters.taps[index] : SourceTap{0, kOutside, kOutside};
    }
  }
};

// By one store.
template <int count, class Sum>
__device__ void store_adjacent(Sum* to, const Sum* sums) {
  if constexpr (count == 2) {
    *reinterpret_cast<float2*>(to) = {sums[0], sums[1]};
  } else {
    *to = *sums;
  }
}

template <class Math>
__device__ void write_partial(const WeightGradParameters& parameters, const GradPlace& at,
                              const Math& math) {
  using Sum = typename Math::Sum;
  Sum* partial =
      static_cast<Sum*>(parameters.partial) +
      (at.split * parameters.groups.divisor + at.group) * parameters.rows * parameters.columns;
  const bool is_whole = parameters.columns % Math::kAdjacent == 0;
  math.for_each([&](int tile_row, int tile_column, const Sum* sums) {
    const int64_t row = at.first_row + tile_row, column = at.first_column + tile_column;
    if (row >= parameters.rows || column >= parameters.columns) return;
    Sum* to = partial + row * parameters.columns + column;
    if (is_whole) {
      store_adjacent<Math::kAdjacent>(to, sums);
    } else {
#pragma unroll
      for (int i = 0; i < Math::kAdjacent; ++i) {
        if (column + i < parameters.columns) to[i] = sums[i];
      }
    }
  });
}

template <class Math, class Storage, template <class, class> class Loader>
__device__ void sum_weight_grad(const WeightGradParameters& parameters, GradShared<Math>& shared) {
  using Load = Loader<Math, Storage>;
  if (threadIdx.x == 0) shared.place.template find<Math>(parameters);
  __syncthreads();
  shared.locate_columns(parameters);
  shared.locate_pixels(parameters, 0);
  __syncthreads();

  constexpr int kPixels = GradShared<Math>::kPixels, kBatch = GradShared<Math>::kBatch;
  const int steps =
      int((shared.place.last_pixel - shared.place.first_pixel + kPixels - 1) / kPixels);
  Load loader(parameters, shared);
#pragma unroll
  for (int step = 0; step < kStages - 1; ++step) {
    if (step < steps) loader.copy(shared, step, shared.pixels_of(0, step));
    commit_copies();
  }
  loader.load(shared.pixels_of(0, 0));
  loader.store(shared, 0);

  Math math;
  for (int batch = 0; batch * kBatch < steps; ++batch) {
    shared.locate_pixels(parameters, batch + 1);
    const int left = steps - batch * kBatch;  // of this batch and those behind
    for (int first = 0; first < min(left, kBatch); first += kStages) {
      // Unrolled, so that the places of stages are constants.
#pragma unroll
      for (int i = 0; i < kStages; ++i) {
        const int step = first + i;
        if (step >= left) break;
        wait_for_copies<kStages - 2>();
        __syncthreads();
        if (step + kStages - 1 < left) {
          loader.copy(shared, (i + kStages - 1) % kStages,
                      shared.pixels_of(batch, step + kStages - 1));
        }
        commit_copies();
        const bool more = step + 1 < left;
        if (more) loader.load(shared.pixels_of(batch, step + 1));
        Load::multiply(math, shared.grad_tile(i), shared.input_tile(i));
        if (more) loader.store(shared, (i + 1) % kStages);
      }
    }
  }
  wait_for_copies<0>();
  write_partial(parameters, shared.place, math);
}

template <class Math, class Storage, template <class, class> class Loader>
__global__ void __launch_bounds__(kThreads, (Loader<Math, Storage>::kResidentBlocks))
    weight_grad_gemm(const __grid_constant__ WeightGradParameters parameters) {
  extern __shared__ __align__(128) uint4 memory[];
  if constexpr (Math::kExists) {
    sum_weight_grad<Math, Storage, Loader>(parameters,
                                           *reinterpret_cast<GradShared<Math>*>(memory));
  }
}

}  // namespace cnnops::cuda
