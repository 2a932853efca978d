// Patches of a source whose channels lie next to each other: asynchronous copies of 16 bytes of
// channels at one tap of one pixel.
#pragma once

#include <type_traits>

#include "map.cuh"
#include "operands.cuh"
#include "ptx.cuh"
#include "source_tap.cuh"
#include "tile.cuh"
#include "tile_place.cuh"

namespace cnnops::cuda {

template <class Math, class Storage>
struct Chunks {
  static constexpr int kStep = kThreads / kChunks;  // rows between two copies of a thread
  static constexpr int kCopies = Math::kRows / kStep;
  static constexpr int kResidentBlocks = Math::kResidentBlocks;

  const char* base[kCopies];  // first sample of the window, first channel of the group
  int h[kCopies], w[kCopies];
  int height, width, place;
  const SourceTap* taps;
  SourceTap tap;  // of the next step

  __device__ Chunks(const CorrelationParameters& parameters, const TilePlace& at) {
    const LatticeAxis& rows = parameters.lattices.rows[at.row_axis];
    const LatticeAxis& columns = parameters.lattices.columns[at.column_axis];
    height = int(rows.axis.source);
    width = int(columns.axis.source);
    const int row = threadIdx.x / kChunks, chunk = threadIdx.x % kChunks;
    place = chunk_place(row, chunk);
    taps = parameters.taps + at.lattice * parameters.tap_entries + chunk;
    tap = load_tap(taps);
    const Strides4& stride = parameters.source_stride;
    const int64_t channel = at.group * parameters.reduce;
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      const int64_t pixel = at.first_pixel + row + i * kStep;
      const bool exists = pixel < at.pixels;
      const LatticePixel position = lattice_pixel(exists ? pixel : 0, rows, columns);
      const int64_t first_h = position.i * rows.axis.stride;
      const int64_t first_w = position.j * columns.axis.stride;
      const int64_t first =
          position.n * stride.n + channel * stride.c + first_h * stride.h + first_w * stride.w;
      base[i] = static_cast<const char*>(parameters.source) + first * int(sizeof(Storage));
      h[i] = exists ? int(first_h) : kOutside;
      w[i] = int(first_w);
    }
  }

  // Steps are copied one after the other.
  __device__ void copy(uint4* tile) {
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      const bool inside = is_inside(h[i] + tap.h, w[i] + tap.w, height, width);
      copy_async(tile + place + i * kStep * kChunks, base[i] + tap.offset, inside);
    }
    taps += kChunks;
    tap = load_tap(taps);
  }

  // Makes operands of this thread's copies, once they have landed.
  __device__ void settle(uint4* tile) const {
    using Operand = typename Math::Operand;
    if constexpr (!std::is_same_v<Operand, Storage>) {
#pragma unroll
      for (int i = 0; i < kCopies; ++i) {
        auto* chunk = reinterpret_cast<Operand*>(tile + place + i * kStep * kChunks);
#pragma unroll
        for (int k = 0; k < kChunk<Operand>; ++k)
          chunk[k] = operand_of<Operand>(reinterpret_cast<Storage*>(chunk)[k]);
      }
    }
  }

  __device__ void load(int) {}
  __device__ void store(uint4*) {}
};

}  // namespace cnnops::cuda
