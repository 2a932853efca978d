// Patches of a source of any strides: element by element through registers, one step ahead. Lanes
// go along pixels; every thread gathers whole chunks of a pixel's patch.
#pragma once

#include "operands.cuh"
#include "ptx.cuh"
#include "source_tap.cuh"
#include "tile.cuh"
#include "tile_place.cuh"

namespace cnnops::cuda {

template <class Math, class Storage>
struct Gather {
  using Operand = typename Math::Operand;
  static constexpr int kStep = kThreads / Math::kRows;  // chunks between two of a thread
  static constexpr int kOwn = kChunks / kStep;
  static constexpr int kElements = kChunk<Operand>;
  // On a multiprocessor: a step's elements fill registers beside the sums of a wide tile.
  static constexpr int kResidentBlocks = Math::kColumns < 128 ? Math::kResidentBlocks : 1;

  int row, chunk;
  const SourceTap* taps;
  const char* base;  // first sample of the window, first channel of the group
  int h, w, height, width;
  Storage values[kOwn][kElements];

  __device__ Gather(const CorrelationParameters& parameters, const TilePlace& at)
      : row(threadIdx.x % Math::kRows),
        chunk(threadIdx.x / Math::kRows),
        taps(parameters.taps + at.lattice * parameters.tap_entries + chunk * kElements) {
    const LatticeAxis& rows = parameters.lattices.rows[at.row_axis];
    const LatticeAxis& columns = parameters.lattices.columns[at.column_axis];
    height = int(rows.axis.source);
    width = int(columns.axis.source);
    const int64_t pixel = at.first_pixel + row;
    const bool exists = pixel < at.pixels;
    const LatticePixel position = lattice_pixel(exists ? pixel : 0, rows, columns);
    const int64_t first_h = position.i * rows.axis.stride;
    const int64_t first_w = position.j * columns.axis.stride;
    const Strides4& stride = parameters.source_stride;
    const int64_t first = position.n * stride.n + at.group * parameters.reduce * stride.c +
                          first_h * stride.h + first_w * stride.w;
    base = static_cast<const char*>(parameters.source) + first * int(sizeof(Storage));
    h = exists ? int(first_h) : kOutside;
    w = int(first_w);
  }

  __device__ void copy(uint4*) {}
  __device__ void settle(uint4*) {}

  __device__ void load(int step) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
#pragma unroll
      for (int k = 0; k < kElements; ++k) {
        const SourceTap tap = load_tap(taps + step * kRow<Operand> + i * kStep * kElements + k);
        const bool inside =
            unsigned(h + tap.h) < unsigned(height) && unsigned(w + tap.w) < unsigned(width);
        values[i][k] = inside ? *reinterpret_cast<const Storage*>(base + tap.offset) : Storage{};
      }
    }
  }

  __device__ void store(uint4* tile) const {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      alignas(16) Operand operands[kElements];
#pragma unroll
      for (int k = 0; k < kElements; ++k) operands[k] = operand_of<Operand>(values[i][k]);
      tile[chunk_place(row, chunk + i * kStep)] = *reinterpret_cast<const uint4*>(operands);
    }
  }
};

}  // namespace cnnops::cuda
