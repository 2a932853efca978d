// Products of tiles on tensor cores, float32 sums.
#pragma once

#include <type_traits>

#include "ptx.cuh"
#include "tile.cuh"

namespace cnnops::cuda {

template <class T, int rows, int columns>
struct TensorCore {
  using Operand = T;
  using Sum = float;
  static constexpr int kRows = rows, kColumns = columns;
  static constexpr bool kExists = kArchitecture >= 80 || std::is_same_v<T, __half>;
  // On a multiprocessor. Before 8.0 it has shared memory for one.
  static constexpr int kResidentBlocks = kArchitecture >= 80 ? 2 : 1;

  // Eight warps side by side; each has a part of kWarpRows x kWarpColumns.
  static constexpr int kWarpsAcross = columns >= 128 ? 4 : 2;
  static constexpr int kWarpRows = rows / (8 / kWarpsAcross);
  static constexpr int kWarpColumns = columns / kWarpsAcross;
  static constexpr int kRowBlocks = kWarpRows / 16, kColumnBlocks = kWarpColumns / 8;
  static_assert(kWarpRows % 16 == 0 && kWarpColumns % 16 == 0);

  float sum[kRowBlocks][kColumnBlocks][4] = {};
  int lane = threadIdx.x % 32;
  int first_row = threadIdx.x / 32 / kWarpsAcross * kWarpRows;
  int first_column = threadIdx.x / 32 % kWarpsAcross * kWarpColumns;

  __device__ void multiply(const uint4* a, const uint4* b) {
#pragma unroll
    for (int step = 0; step < kChunks; step += 2) {
      uint32_t left[kRowBlocks][4], right[kColumnBlocks][2];
      load_left(left, a, step);
      load_right(right, b, step);
      accumulate(left, right);
    }
  }

  __device__ void accumulate(const uint32_t (&left)[kRowBlocks][4],
                             const uint32_t (&right)[kColumnBlocks][2]) {
#pragma unroll
    for (int i = 0; i < kRowBlocks; ++i) {
#pragma unroll
      for (int j = 0; j < kColumnBlocks; ++j) multiply_fragments<T>(sum[i][j], left[i], right[j]);
    }
  }

  // visit(row, column, sums) for all sums this thread holds, kAdjacent of a row at a time.
  static constexpr int kAdjacent = 2;
  template <class Visit>
  __device__ void for_each(Visit visit) const {
#pragma unroll
    for (int i = 0; i < kRowBlocks; ++i) {
#pragma unroll
      for (int j = 0; j < kColumnBlocks; ++j) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          visit(first_row + i * 16 + half * 8 + lane / 4, first_column + j * 8 + lane % 4 * 2,
                &sum[i][j][half * 2]);
        }
      }
    }
  }

 private:
  __device__ void load_left(uint32_t (&words)[kRowBlocks][4], const uint4* tile, int step) const {
    const uint32_t first =
        shared_address(tile + (chunk_place(first_row + lane % 16, lane / 16) ^ step));
#pragma unroll
    for (int i = 0; i < kRowBlocks; ++i) {
      load_matrices(words[i], first + i * 16 * kRowBytes);
    }
  }

  // Two blocks of eight columns at a time.
  __device__ void load_right(uint32_t (&words)[kColumnBlocks][2], const uint4* tile,
                             int step) const {
    const uint32_t first = shared_address(
        tile + (chunk_place(first_column + lane / 16 * 8 + lane % 8, lane / 8 % 2) ^ step));
#pragma unroll
    for (int j = 0; j < kColumnBlocks; j += 2) {
      uint32_t pair[4];
      load_matrices(pair, first + j * 8 * kRowBytes);
#pragma unroll
      for (int word = 0; word < 4; ++word) words[j + word / 2][word % 2] = pair[word];
    }
  }
};

}  // namespace cnnops::cuda
