// A tile of an operand in shared memory: rows of 64 bytes along the reduction, in four chunks of 16.
//
// A chunk stands at its place XOR (row / 2) % 4. Eight consecutive rows of one chunk then lie in
// eight different groups of four banks, and so do the four chunks of two rows: neither the loads of
// fragments nor the stores of rows conflict.
#pragma once

#include "tile.h"

namespace cnnops::cuda {

// Elements of a chunk, and of a row.
template <class T>
inline constexpr int kChunk = kChunkBytes / int(sizeof(T));
template <class T>
inline constexpr int kRow = kChunks * kChunk<T>;

// Places of rows 8 apart differ by 8 rows of chunks, and XOR with a number leads to another chunk of
// the same row.
inline __device__ int chunk_place(int row, int chunk) {
  return row * kChunks + (chunk ^ (row >> 1 & 3));
}

}  // namespace cnnops::cuda
