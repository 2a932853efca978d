// Fills the tiles of a weight gradient from channels_last tensors of half types: asynchronous copies
// of 8 channels of a pixel. Tiles are the other way round than elsewhere, a row for each pixel of the
// step; tensor cores get them by transposing loads.
#pragma once

#include "tensor_core.cuh"
#include "weight_grad_gemm.cuh"

namespace cnnops::cuda {

// The place of a chunk in a tile whose rows are pixels: XOR with the row spreads eight rows of one
// chunk over all banks.
template <int channels>
__device__ int pixel_chunk_place(int row, int chunk) {
  constexpr int kAcross = channels / 8;
  const int turn = kAcross >= 8 ? row & 7 : row >> 1 & 3;
  return row * kAcross + (chunk ^ turn);
}

// This thread's part of a tile: one chunk of channels, for several pixels.
template <int channels>
struct ChunkColumn {
  static constexpr int kAcross = channels / 8;
  static constexpr int kStep = kThreads / kAcross;  // pixels between two of a thread
  static constexpr int kPixels = kRow<__half>;

  static __device__ int chunk() { return threadIdx.x % kAcross; }

  // copy_chunk(pixel, place) for each of them.
  template <class CopyChunk>
  static __device__ void copy(uint4* tile, const GradPixel* pixels, CopyChunk copy_chunk) {
#pragma unroll
    for (int row = 0; row < kPixels; row += kStep) {
      const int own = row + threadIdx.x / kAcross;
      if (kStep > kPixels && own >= kPixels) return;
      copy_chunk(pixels[own], tile + pixel_chunk_place<channels>(own, chunk()));
    }
  }
};

template <class Math, class Storage>
struct GradChunks {
  static constexpr int kResidentBlocks = Math::kResidentBlocks;
  using GradColumn = ChunkColumn<Math::kRows>;
  using InputColumn = ChunkColumn<Math::kColumns>;

  const char *grad, *input;
  bool grad_exists;
  SourceTap tap;
  int height, width;

  __device__ GradChunks(const WeightGradParameters& parameters, const GradShared<Math>& shared)
      : tap(shared.taps[InputColumn::chunk() * 8]),
        height(parameters.input_h),
        width(parameters.input_w) {
    const GradPlace& at = shared.place;
    const int64_t channel = at.first_row + GradColumn::chunk() * 8;
    grad = static_cast<const char*>(parameters.grad_output) +
           (at.group * parameters.rows + channel) * int(sizeof(Storage));
    grad_exists = channel < parameters.rows;
    input = static_cast<const char*>(parameters.input) +
            at.group * parameters.reduce * int(sizeof(Storage)) + tap.offset;
  }

  __device__ void copy(GradShared<Math>& shared, int step) {
    const GradPixel* pixels = shared.pixels[step % kStages];
    GradColumn::copy(shared.grad_tile(step), pixels, [&](const GradPixel& pixel, uint4* to) {
      copy_async(to, grad + pixel.grad, grad_exists && pixel.exists());
    });
    InputColumn::copy(shared.input_tile(step), pixels, [&](const GradPixel& pixel, uint4* to) {
      const bool inside = unsigned(pixel.h + tap.h) < unsigned(height) &&
                          unsigned(pixel.w + tap.w) < unsigned(width);
      copy_async(to, input + pixel.input, inside);
    });
  }
  __device__ void load(const GradShared<Math>&, int) {}
  __device__ void store(GradShared<Math>&, int) const {}

  static __device__ void multiply(Math& math, const uint4* grad, const uint4* input) {
#pragma unroll
    for (int first = 0; first < kRow<Storage>; first += 16) {
      uint32_t left[Math::kRowBlocks][4], right[Math::kColumnBlocks][2];
      load_left(left, grad, math, first);
      load_right(right, input, math, first);
      math.accumulate(left, right);
    }
  }

 private:
  // A warp's first chunk is a multiple of what follows it, so that XOR steps from chunk to chunk.
  static __device__ void load_left(uint32_t (&words)[Math::kRowBlocks][4], const uint4* tile,
                                   const Math& math, int first) {
    static_assert(Math::kWarpRows % (Math::kRowBlocks * 16) == 0);
    const int row = first + math.lane / 16 * 8 + math.lane % 8;
    const int chunk = math.first_row / 8 + math.lane / 8 % 2;
    const uint32_t address = shared_address(tile + pixel_chunk_place<Math::kRows>(row, chunk));
#pragma unroll
    for (int i = 0; i < Math::kRowBlocks; ++i)
      load_matrices_transposed(words[i], address ^ (i * 2 * kChunkBytes));
  }

  // Two blocks of eight columns at a time.
  static __device__ void load_right(uint32_t (&words)[Math::kColumnBlocks][2], const uint4* tile,
                                    const Math& math, int first) {
    const int row = first + math.lane / 8 % 2 * 8 + math.lane % 8;
    const int chunk = math.first_column / 8 + math.lane / 16;
    const uint32_t address = shared_address(tile + pixel_chunk_place<Math::kColumns>(row, chunk));
#pragma unroll
    for (int j = 0; j < Math::kColumnBlocks; j += 2) {
      uint32_t pair[4];
      load_matrices_transposed(pair, address ^ (j * kChunkBytes));
#pragma unroll
      for (int word = 0; word < 4; ++word) words[j + word / 2][word % 2] = pair[word];
    }
  }
};

}  // namespace cnnops::cuda
