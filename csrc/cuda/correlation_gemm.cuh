// Correlation as an implicit matrix product: the input patches are never laid out in memory.
//
// A block computes kRows pixels x kColumns channels of one group in one lattice. Along the reduction
// it goes in steps of 64 bytes of every row: patches come from the source by the table of taps
// (source_chunks.cuh, source_gather.cuh), rows of the packed filter by asynchronous copies, kStages
// - 1 steps ahead. Sums are taken in the order of the taps, whatever the tile: an output has the same
// bits in every batch.
#pragma once

#include "filter_rows.cuh"
#include "ptx.cuh"
#include "result_tile.cuh"
#include "tile.cuh"
#include "tile_place.cuh"

namespace cnnops::cuda {

// Along the reduction.
template <class Operand>
__device__ int steps_of(const CorrelationParameters& parameters, const TilePlace& at) {
  const int64_t taps = parameters.lattices.rows[at.row_axis].axis.taps *
                       parameters.lattices.columns[at.column_axis].axis.taps;
  return int((taps * parameters.reduce + kRow<Operand> - 1) / kRow<Operand>);
}

template <class Math, class Storage, template <class, class> class Source>
__device__ void correlate(const CorrelationParameters& parameters, uint4* shared) {
  constexpr int kSourceTile = Math::kRows * kChunks;
  constexpr int kStage = kSourceTile + Math::kColumns * kChunks;
  __shared__ TilePlace at;
  if (threadIdx.x == 0) at.find<Math>(parameters);
  __syncthreads();
  if (at.first_pixel >= at.pixels) return;  // some lattices are smaller

  Source<Math, Storage> source(parameters, at);
  FilterRows<Math> filter(parameters, at);
  const int steps = steps_of<typename Math::Operand>(parameters, at);
  const auto stage = [&](int index) { return shared + index * kStage; };

#pragma unroll
  for (int step = 0; step < kStages - 1; ++step) {
    if (step < steps) {
      source.copy(stage(step));
      filter.copy(stage(step) + kSourceTile);
    }
    commit_copies();
  }
  source.load(0);
  source.store(stage(0));

  Math math;
  for (int first = 0; first < steps; first += kStages) {
    // Unrolled, so that the places of stages are constants.
#pragma unroll
    for (int i = 0; i < kStages; ++i) {
      const int step = first + i;
      if (step >= steps) break;
      wait_for_copies<kStages - 2>();
      source.settle(stage(i));
      __syncthreads();
      if (step + kStages - 1 < steps) {
        source.copy(stage((i + kStages - 1) % kStages));
        filter.copy(stage((i + kStages - 1) % kStages) + kSourceTile);
      }
      commit_copies();
      const bool more = step + 1 < steps;
      if (more) source.load(step + 1);
      math.multiply(stage(i), stage(i) + kSourceTile);
      if (more) source.store(stage((i + 1) % kStages));
    }
  }
  wait_for_copies<0>();

  const ResultTile<Math, Storage> result{parameters, at,
                                         reinterpret_cast<typename Math::Sum*>(shared)};
  __syncthreads();
  result.load_bias();
  for (int first = 0; first < Math::kRows; first += kSlab) {
    result.stage(math, first);
    __syncthreads();
    result.store(first);
    __syncthreads();
  }
}

template <class Math, class Storage, template <class, class> class Source>
__global__ void __launch_bounds__(kThreads, (Source<Math, Storage>::kResidentBlocks))
    correlation_gemm(const __grid_constant__ CorrelationParameters parameters) {
  extern __shared__ uint4 shared[];
  if constexpr (Math::kExists) correlate<Math, Storage, Source>(parameters, shared);
}

}  // namespace cnnops::cuda
