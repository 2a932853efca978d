// Correlation as an implicit matrix product: the input patches are never laid out in memory.
//
// A block computes kRows pixels x kColumns channels of one group in one lattice. Along the reduction
// it goes in steps of 64 bytes of every row: patches come from the source by the table of taps
// (source_chunks.cuh, source_gather.cuh), rows of the packed filter by asynchronous copies, kStages
// - 1 steps ahead. Sums are taken in the order of the taps, whatever the tile: an output has the same
// bits in every batch.
#pragma once

#include "conv2d_parameters.h"
#include "divider.cuh"
#include "numbers.cuh"
#include "ptx.cuh"
#include "tile.cuh"

namespace cnnops::cuda {

// The part of a correlation that a block computes.
struct TilePlace {
  int64_t group, first_pixel, first_channel, pixels;  // pixels: of the lattice
  int lattice, row_axis, column_axis;

  // For all threads of the block; it lies in shared memory, since registers are scarce in the product.
  template <class Math>
  __device__ void find(const CorrelationParameters& parameters) {
    const int64_t pixel_tile = int64_t(blockIdx.x) / parameters.channel_tiles;
    const int64_t rest = pixel_tile / parameters.pixel_tiles;
    lattice = int(rest / parameters.groups);
    row_axis = lattice / parameters.lattices.column_count;
    column_axis = lattice % parameters.lattices.column_count;
    group = rest - lattice * parameters.groups.divisor;
    first_pixel = (pixel_tile - rest * parameters.pixel_tiles.divisor) * Math::kRows;
    first_channel = (blockIdx.x - pixel_tile * parameters.channel_tiles.divisor) * Math::kColumns;
    pixels = parameters.batch * parameters.lattices.rows[row_axis].axis.count *
             parameters.lattices.columns[column_axis].axis.count;
  }
};

// A pixel of a lattice: image, row and column in the lattice.
struct LatticePixel {
  int64_t n, i, j;
};

inline __device__ LatticePixel lattice_pixel(int64_t pixel, const LatticeAxis& h,
                                             const LatticeAxis& w) {
  const int64_t j = take_digit(pixel, w.count);
  const int64_t i = take_digit(pixel, h.count);
  return {pixel, i, j};
}

// Copies rows of the packed filter.
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

template <class Math, class Storage>
struct ResultTile {
  using Sum = typename Math::Sum;
  static constexpr int kPitch = Math::kColumns + 1;  // no bank conflict along rows or columns

  const CorrelationParameters& parameters;
  const TilePlace& at;
  Sum* slab;

  // Puts the sums of rows [first, first + kSlab) into shared memory.
  __device__ void stage(const Math& math, int first) const {
    math.for_each([&](int row, int column, Sum sum) {
      if (row / kSlab == first / kSlab) slab[(row - first) * kPitch + column] = sum;
    });
  }

  __device__ Sum with_bias(int row, int column) const {
    const Sum sum = slab[row * kPitch + column];
    if (parameters.bias == nullptr) return sum;
    const int64_t channel = at.group * parameters.produce + at.first_channel + column;
    return sum + widen(static_cast<const Storage*>(parameters.bias)[channel]);
  }

  // Null where the lattice has no such pixel.
  __device__ Storage* first_channel_of(int64_t pixel) const {
    if (pixel >= at.pixels) return nullptr;
    const LatticeAxis& rows = parameters.lattices.rows[at.row_axis];
    const LatticeAxis& columns = parameters.lattices.columns[at.column_axis];
    const LatticePixel position = lattice_pixel(pixel, rows, columns);
    const CorrelationAxis &h = rows.axis, &w = columns.axis;
    const Strides4& stride = parameters.result_stride;
    return static_cast<Storage*>(parameters.result) + position.n * stride.n +
           (h.first + position.i * h.step) * stride.h + (w.first + position.j * w.step) * stride.w +
           (at.group * parameters.produce + at.first_channel) * stride.c;
  }

  __device__ int channels() const {
    const int64_t left = parameters.produce - at.first_channel;
    return int(left < Math::kColumns ? left : Math::kColumns);
  }

  // Lanes along pixels.
  __device__ void store_pixels(int first) const {
    const int row = threadIdx.x % kSlab;
    Storage* result = first_channel_of(at.first_pixel + first + row);
    if (result == nullptr) return;
    for (int column = threadIdx.x / kSlab; column < channels(); column += kThreads / kSlab)
      result[column * parameters.result_stride.c] = narrow<Storage>(with_bias(row, column));
  }

  // Lanes along channels, kVector of them in a store.
  template <int kVector>
  __device__ void store_channels(int first) const {
    constexpr int kLanes = Math::kColumns / kVector;
    const int column = threadIdx.x % kLanes * kVector;
    if (column >= channels()) return;
    for (int row = threadIdx.x / kLanes; row < kSlab; row += kThreads / kLanes) {
      Storage* result = first_channel_of(at.first_pixel + first + row);
      if (result == nullptr) return;
      alignas(16) Storage values[kVector];
#pragma unroll
      for (int v = 0; v < kVector; ++v) values[v] = narrow<Storage>(with_bias(row, column + v));
      if constexpr (kVector == 1) {
        result[column] = values[0];
      } else {
        *reinterpret_cast<uint4*>(result + column) = *reinterpret_cast<const uint4*>(values);
      }
    }
  }

  __device__ void store(int first) const {
    if (parameters.result_stride.c != 1) {
      store_pixels(first);
    } else if (parameters.vector_channels == kChunk<Storage>) {
      store_channels<kChunk<Storage>>(first);
    } else {
      store_channels<1>(first);
    }
  }
};

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
  for (int first = 0; first < Math::kRows; first += kSlab) {
    __syncthreads();
    result.stage(math, first);
    __syncthreads();
    result.store(first);
  }
}

template <class Math, class Storage, template <class, class> class Source>
__global__ void __launch_bounds__(kThreads, (Source<Math, Storage>::kResidentBlocks))
    correlation_gemm(const __grid_constant__ CorrelationParameters parameters) {
  extern __shared__ uint4 shared[];
  if constexpr (Math::kExists) correlate<Math, Storage, Source>(parameters, shared);
}

}  // namespace cnnops::cuda
