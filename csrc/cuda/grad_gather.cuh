// Fills the tiles of a weight gradient from tensors of any strides, element by element through
// registers, one step ahead.
#pragma once

#include "operands.cuh"
#include "weight_grad_gemm.cuh"

namespace cnnops::cuda {

// Rows of the left tile: output channels.
template <class Storage>
struct GradSide {
  const char* base;  // first channel of the tile
  int64_t stride;    // bytes between channels
  int64_t rows;

  __device__ GradSide(const WeightGradParameters& parameters, const GradPlace& at)
      : base(static_cast<const char*>(parameters.grad_output)),
        stride(parameters.grad_stride.c * int(sizeof(Storage))),
        rows(parameters.rows - at.first_row) {
    base += (at.group * parameters.rows + at.first_row) * stride;
  }

  __device__ Storage element(int row, const GradPixel& pixel) const {
    if (row >= rows || !pixel.exists()) return Storage{};
    return *reinterpret_cast<const Storage*>(base + pixel.grad + row * stride);
  }
};

// Rows of the right tile: weights, each a source channel and a tap.
template <class Storage>
struct InputSide {
  const char* base;  // first channel of the group
  const SourceTap* taps;
  int height, width;

  __device__ InputSide(const WeightGradParameters& parameters, const GradPlace& at,
                       const SourceTap* tile_taps)
      : base(static_cast<const char*>(parameters.input) +
             at.group * parameters.reduce * parameters.input_stride.c * int(sizeof(Storage))),
        taps(tile_taps),
        height(parameters.input_h),
        width(parameters.input_w) {}

  __device__ Storage element(int row, const GradPixel& pixel) const {
    const SourceTap tap = taps[row];
    const bool inside =
        unsigned(pixel.h + tap.h) < unsigned(height) && unsigned(pixel.w + tap.w) < unsigned(width);
    if (!inside) return Storage{};
    return *reinterpret_cast<const Storage*>(base + pixel.input + tap.offset);
  }
};

// Lanes along the pixels of a step, where columns of a map lie next to each other.
template <class Operand, class Storage, int rows>
struct AlongPixels {
  static constexpr int kStep = kThreads / kRow<Operand>;
  static constexpr int kOwn = rows / kStep;

  Storage values[kOwn];

  template <class Side>
  __device__ void load(const Side& side, const GradPixel* pixels) {
    const GradPixel pixel = pixels[threadIdx.x % kRow<Operand>];
#pragma unroll
    for (int i = 0; i < kOwn; ++i)
      values[i] = side.element(threadIdx.x / kRow<Operand> + i * kStep, pixel);
  }

  __device__ void store(uint4* tile) const {
    const int k = threadIdx.x % kRow<Operand>;
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int row = threadIdx.x / kRow<Operand> + i * kStep;
      auto* chunk = reinterpret_cast<Operand*>(tile + chunk_place(row, k / kChunk<Operand>));
      chunk[k % kChunk<Operand>] = operand_of<Operand>(values[i]);
    }
  }
};

// Lanes along channels, where these lie next to each other; a thread fills whole chunks.
template <class Operand, class Storage, int rows>
struct AlongChannels {
  static constexpr int kStep = kThreads / rows;
  static constexpr int kOwn = kChunks / kStep;
  static constexpr int kElements = kChunk<Operand>;

  Storage values[kOwn][kElements];

  template <class Side>
  __device__ void load(const Side& side, const GradPixel* pixels) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
#pragma unroll
      for (int k = 0; k < kElements; ++k) {
        const int chunk = threadIdx.x / rows + i * kStep;
        values[i][k] = side.element(threadIdx.x % rows, pixels[chunk * kElements + k]);
      }
    }
  }

  __device__ void store(uint4* tile) const {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      alignas(16) Operand operands[kElements];
#pragma unroll
      for (int k = 0; k < kElements; ++k) operands[k] = operand_of<Operand>(values[i][k]);
      tile[chunk_place(threadIdx.x % rows, threadIdx.x / rows + i * kStep)] =
          *reinterpret_cast<const uint4*>(operands);
    }
  }
};

template <class Math, class Storage, template <class, class, int> class Along>
struct GradGather {
  using Operand = typename Math::Operand;
  static constexpr int kResidentBlocks =
      1;  // on a multiprocessor: a step's elements fill registers

  GradSide<Storage> grad_side;
  InputSide<Storage> input_side;
  Along<Operand, Storage, Math::kRows> grad;
  Along<Operand, Storage, Math::kColumns> input;

  __device__ GradGather(const WeightGradParameters& parameters, const GradShared<Math>& shared)
      : grad_side(parameters, shared.place), input_side(parameters, shared.place, shared.taps) {}

  __device__ void copy(GradShared<Math>&, int) {}

  __device__ void load(const GradShared<Math>& shared, int step) {
    grad.load(grad_side, shared.pixels[step % kStages]);
    input.load(input_side, shared.pixels[step % kStages]);
  }
  __device__ void store(GradShared<Math>& shared, int step) const {
    grad.store(shared.grad_tile(step));
    input.store(shared.input_tile(step));
  }

  static __device__ void multiply(Math& math, const uint4* grad, const uint4* input) {
    math.multiply(grad, input);
  }
};

template <class Math, class Storage>
struct PixelLanes : GradGather<Math, Storage, AlongPixels> {
  using GradGather<Math, Storage, AlongPixels>::GradGather;
};
template <class Math, class Storage>
struct ChannelLanes : GradGather<Math, Storage, AlongChannels> {
  using GradGather<Math, Storage, AlongChannels>::GradGather;
};

}  // namespace cnnops::cuda
