// Sums on their way from registers to the result: through shared memory, a slab of rows at a time, so
// that neighbouring lanes write neighbouring elements in either memory format.
#pragma once

#include "numbers.cuh"
#include "tile.cuh"
#include "tile_place.cuh"

namespace cnnops::cuda {

template <class Math, class Storage>
struct ResultTile {
  using Sum = typename Math::Sum;
  static constexpr int kPitch = Math::kColumns + 1;  // no bank conflict along rows or columns

  const CorrelationParameters& parameters;
  const TilePlace& at;
  Sum* slab;
  Sum* bias = slab + kSlab * kPitch;  // of the tile's channels

  // Puts the sums of rows [first, first + kSlab) into shared memory.
  __device__ void stage(const Math& math, int first) const {
    math.for_each([&](int row, int column, const Sum* sums) {
      if (row / kSlab != first / kSlab) return;
#pragma unroll
      for (int i = 0; i < Math::kAdjacent; ++i) slab[(row - first) * kPitch + column + i] = sums[i];
    });
  }

  // Without a bias it is -0, which changes no sum.
  __device__ void load_bias() const {
    const auto* from = static_cast<const Storage*>(parameters.bias);
    for (int column = threadIdx.x; column < channels(); column += kThreads) {
      const int64_t channel = at.group * parameters.produce + at.first_channel + column;
      bias[column] = from == nullptr ? Sum(-0.0f) : widen(from[channel]);
    }
  }

  __device__ Storage rounded(int row, int column) const {
    return narrow<Storage>(slab[row * kPitch + column] + bias[column]);
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
      result[column * parameters.result_stride.c] = rounded(row, column);
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
      for (int v = 0; v < kVector; ++v) values[v] = rounded(row, column + v);
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

}  // namespace cnnops::cuda
