// Fills the tiles of a weight gradient from channels_last tensors of half types: asynchronous copies
// of 8 channels of a pixel. Tiles are the other way round than elsewhere, a row for each pixel of the
// step; tensor cores get them by transposing loads.
#pragma once

#include "map.cuh"
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
  static_assert(kStep % 8 == 0 && kPixels % kStep == 0);

  int chunk = threadIdx.x % kAcross;
  int first_pixel = threadIdx.x / kAcross;
  int first_place = pixel_chunk_place<channels>(first_pixel, chunk);

  // copy_chunk(place, pixel) for each of them.
  template <class CopyChunk>
  __device__ void copy(uint4* tile, const GradPixel* pixels, CopyChunk copy_chunk) const {
#pragma unroll
    for (int row = 0; row < kPixels; row += kStep)
      copy_chunk(tile + first_place + row * kAcross, pixels[first_pixel + row]);
  }
};

template <class Math, class Storage>
struct GradChunks {
  static constexpr int kResidentBlocks = Math::kResidentBlocks;

  ChunkColumn<Math::kRows> grad_column;
  ChunkColumn<Math::kColumns> input_column;
  const char *grad, *input;
  bool grad_exists;
  SourceTap tap;
  int height, width;

  __device__ GradChunks(const WeightGradParameters& parameters, const GradShared<Math>& shared)
      : tap(shared.taps[input_column.chunk * 8]),
        height(parameters.input_h),
        width(parameters.input_w) {
    const GradPlace& at = shared.place;
    const int64_t channel = at.first_row + grad_column.chunk * 8;
    grad = static_cast<const char*>(parameters.grad_output) +
           (at.group * parameters.rows + channel) * int(sizeof(Storage));
    grad_exists = channel < parameters.rows;
    input = static_cast<const char*>(parameters.input) +
            at.group * parameters.reduce * int(sizeof(Storage)) + tap.offset;
  }

  __device__ void copy(GradShared<Math>& shared, int stage, const GradPixel* pixels) {
    grad_column.copy(shared.grad_tile(stage), pixels, [&](uint4* to, const GradPixel& pixel) {
      copy_async(to, grad + pixel.grad, grad_exists & pixel.exists());
    });
    input_column.copy(shared.input_tile(stage), pixels, [&](uint4* to, const GradPixel& pixel) {
      const bool inside = is_inside(pixel.first.x + tap.h, pixel.first.y + tap.w, height, width);
      copy_async(to, input + pixel.input, inside);
    });
  }
  __device__ void load(const GradPixel*) {}
  __device__ void store(GradShared<Math>&, int) const {}

  // A warp's first chunk is a multiple of the number of its chunks, so that XOR leads from one to the
  // next.
  static __device__ void multiply(Math& math, const uint4* grad, const uint4* input) {
    const int quarter = math.lane / 8, row = math.lane % 8;
    const uint32_t left_address =
        shared_address(grad + pixel_chunk_place<Math::kRows>(quarter / 2 * 8 + row,
                                                             math.first_row / 8 + quarter % 2));
    const uint32_t right_address =
        shared_address(input + pixel_chunk_place<Math::kColumns>(
                                   quarter % 2 * 8 + row, math.first_column / 8 + quarter / 2));
#pragma unroll
    for (int pixel = 0; pixel < kRow<Storage>; pixel += 16) {
      uint32_t left[Math::kRowBlocks][4], right[Math::kColumnBlocks][2];
#pragma unroll
      for (int i = 0; i < Math::kRowBlocks; ++i) {
        load_matrices_transposed(left[i], (left_address ^ (i * 2 * kChunkBytes)) +
                                              pixel * Math::kRows * int(sizeof(Storage)));
      }
      // Two blocks of eight columns at a time.
#pragma unroll
      for (int j = 0; j < Math::kColumnBlocks; j += 2) {
        uint32_t pair[4];
        load_matrices_transposed(pair, (right_address ^ (j * kChunkBytes)) +
                                           pixel * Math::kColumns * int(sizeof(Storage)));
#pragma unroll
        for (int word = 0; word < 4; ++word) right[j + word / 2][word % 2] = pair[word];
      }
      math.accumulate(left, right);
    }
  }
};

}  // namespace cnnops::cuda
