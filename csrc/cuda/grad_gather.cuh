// Fills the tiles of a weight gradient from tensors of any strides, element by element through
// registers, one step ahead.
#pragma once

#include "map.cuh"
#include "operands.cuh"
#include "source_tap.cuh"
#include "weight_grad_gemm.cuh"

namespace cnnops::cuda {

// Rows of the left tile: output channels. Rows behind the last one repeat it; their sums are dropped.
template <class Storage_>
struct GradSide {
  using Storage = Storage_;
  using Row = const char*;

  const char* base;  // first channel of the tile
  int64_t stride;    // bytes between channels
  int rows;

  template <class Math>
  __device__ GradSide(const WeightGradParameters& parameters, const GradShared<Math>& shared)
      : base(static_cast<const char*>(parameters.grad_output)),
        stride(parameters.grad_stride.c * int(sizeof(Storage))) {
    const GradPlace& at = shared.place;
    base += (at.group * parameters.rows + at.first_row) * stride;
    rows = int(min(parameters.rows - at.first_row, int64_t(Math::kRows)));
  }

  __device__ Row row(int index) const { return base + min(index, rows - 1) * stride; }

  __device__ Storage element(Row row, const GradPixel& pixel) const {
    if (!pixel.exists()) return Storage{};
    return *reinterpret_cast<const Storage*>(row + pixel.grad);
  }
};

// Rows of the right tile: weights, each a source channel and a tap.
template <class Storage_>
struct InputSide {
  using Storage = Storage_;
  using Row = SourceTap;

  const char* base;  // first channel of the group
  const SourceTap* taps;
  int height, width;

  template <class Math>
  __device__ InputSide(const WeightGradParameters& parameters, const GradShared<Math>& shared)
      : base(static_cast<const char*>(parameters.input) + shared.place.group * parameters.reduce *
                                                              parameters.input_stride.c *
                                                              int(sizeof(Storage))),
        taps(shared.taps),
        height(parameters.input_h),
        width(parameters.input_w) {}

  __device__ Row row(int index) const { return load_tap(taps + index); }

  __device__ Storage element(const Row& tap, const GradPixel& pixel) const {
    const bool inside = is_inside(pixel.first.x + tap.h, pixel.first.y + tap.w, height, width);
    if (!inside) return Storage{};
    return *reinterpret_cast<const Storage*>(base + pixel.input + tap.offset);
  }
};

// Lanes along the pixels of a step, where columns of a map lie next to each other.
template <class Operand, class Side, int rows>
struct AlongPixels {
  static constexpr int kStep = kThreads / kRow<Operand>;
  static constexpr int kOwn = rows / kStep;

  Side side;
  typename Side::Storage values[kOwn];

  __device__ AlongPixels(const Side& from) : side(from) {}

  __device__ void load(const GradPixel* pixels) {
    const GradPixel pixel = pixels[threadIdx.x % kRow<Operand>];
#pragma unroll
    for (int i = 0; i < kOwn; ++i)
      values[i] = side.element(side.row(threadIdx.x / kRow<Operand> + i * kStep), pixel);
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

// Lanes along channels, where these lie next to each other; a thread fills whole chunks of a row.
template <class Operand, class Side, int rows>
struct AlongChannels {
  static constexpr int kStep = kThreads / rows;
  static constexpr int kOwn = kChunks / kStep;
  static constexpr int kElements = kChunk<Operand>;

  Side side;
  typename Side::Row row;
  typename Side::Storage values[kOwn][kElements];

  __device__ AlongChannels(const Side& from) : side(from), row(from.row(threadIdx.x % rows)) {}

  __device__ void load(const GradPixel* pixels) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const GradPixel* chunk = pixels + (threadIdx.x / rows + i * kStep) * kElements;
#pragma unroll
      for (int k = 0; k < kElements; ++k) values[i][k] = side.element(row, chunk[k]);
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

  Along<Operand, GradSide<Storage>, Math::kRows> grad;
  Along<Operand, InputSide<Storage>, Math::kColumns> input;

  __device__ GradGather(const WeightGradParameters& parameters, const GradShared<Math>& shared)
      : grad(GradSide<Storage>(parameters, shared)),
        input(InputSide<Storage>(parameters, shared)) {}

  __device__ void copy(GradShared<Math>&, int, const GradPixel*) {}

  __device__ void load(const GradPixel* pixels) {
    grad.load(pixels);
    input.load(pixels);
  }
  __device__ void store(GradShared<Math>& shared, int stage) const {
    grad.store(shared.grad_tile(stage));
    input.store(shared.input_tile(stage));
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
