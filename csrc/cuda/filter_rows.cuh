// Rows of the packed filter on their way to a tile.
#pragma once

#include "ptx.cuh"
#include "tile.cuh"
#include "tile_place.cuh"

namespace cnnops::cuda {

template <class Math>
struct FilterRows {
  using Operand = typename Math::Operand;
  static constexpr int kStep = kThreads / kChunks;  // rows between two copies of a thread
  static constexpr int kCopies = (Math::kColumns + kStep - 1) / kStep;

  const CorrelationParameters& parameters;
  const Operand* source;
  int rows, place;

  __device__ FilterRows(const CorrelationParameters& all, const TilePlace& at) : parameters(all) {
    const int row = threadIdx.x / kChunks, chunk = threadIdx.x % kChunks;
    const int64_t rows_before =
        (at.lattice * parameters.groups.divisor + at.group) * parameters.produce + at.first_channel;
    source = static_cast<const Operand*>(parameters.filter) +
             (rows_before + row) * parameters.filter_row + chunk * kChunk<Operand>;
    const int64_t left = parameters.produce - at.first_channel;
    rows = int(left < Math::kColumns ? left : Math::kColumns) - row;
    place = chunk_place(row, chunk);
  }

  // Steps are copied one after the other.
  __device__ void copy(uint4* tile) {
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      if (kStep <= Math::kColumns || threadIdx.x / kChunks < Math::kColumns)
        copy_async(tile + place + i * kStep * kChunks, source + i * kStep * parameters.filter_row,
                   i * kStep < rows);
    }
    source += kRow<Operand>;
  }
};

}  // namespace cnnops::cuda
