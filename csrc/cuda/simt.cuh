// Products of tiles by fused multiply-adds of float or double: 16 x 16 threads, each with every
// sixteenth row and column.
#pragma once

#include "tile.cuh"

namespace cnnops::cuda {

template <class T, int rows, int columns>
struct Simt {
  using Operand = T;
  using Sum = T;
  static constexpr int kRows = rows, kColumns = columns;
  static constexpr bool kExists = true;
  // On a multiprocessor. Of two, each thread would have too few registers.
  static constexpr int kResidentBlocks = 1;
  static constexpr int kOwnRows = rows / 16, kOwnColumns = columns / 16;

  T sum[kOwnRows][kOwnColumns] = {};
  int first_row = threadIdx.x / 16, first_column = threadIdx.x % 16;

  __device__ void multiply(const uint4* a, const uint4* b) {
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      alignas(16) T left[kOwnRows][kChunk<T>];
#pragma unroll
      for (int i = 0; i < kOwnRows; ++i) load(left[i], a, first_row, chunk, i);
#pragma unroll
      for (int j = 0; j < kOwnColumns; ++j) {
        alignas(16) T right[kChunk<T>];
        load(right, b, first_column, chunk, j);
#pragma unroll
        for (int k = 0; k < kChunk<T>; ++k) {
#pragma unroll
          for (int i = 0; i < kOwnRows; ++i) sum[i][j] = fma(left[i][k], right[k], sum[i][j]);
        }
      }
    }
  }

  // visit(row, column, sums) for all sums this thread holds, kAdjacent of a row at a time.
  static constexpr int kAdjacent = 1;
  template <class Visit>
  __device__ void for_each(Visit visit) const {
#pragma unroll
    for (int i = 0; i < kOwnRows; ++i) {
#pragma unroll
      for (int j = 0; j < kOwnColumns; ++j)
        visit(first_row + i * 16, first_column + j * 16, &sum[i][j]);
    }
  }

 private:
  static __device__ void load(T (&values)[kChunk<T>], const uint4* tile, int first, int chunk,
                              int index) {
    const uint4* row = tile + (chunk_place(first, 0) ^ chunk) + index * 16 * kChunks;
    *reinterpret_cast<uint4*>(values) = *row;
  }
};

}  // namespace cnnops::cuda
