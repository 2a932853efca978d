// The register tile of a correlation over a slab: a few result channels, whose filter elements are
// broadcast, by whole vectors of pixels.
//
//   sums[i][j] = start[i] + sum_k filter(k, i) * slab(offsets[k] + j)
#pragma once

#include "gemm_tile.h"

namespace cnnops::CNNOPS_TARGET {

template <class A>
struct SlabTile {
  int64_t depth;
  const A* filter;  // [k][filter_width]
  int64_t filter_width;
  const A* slab;  // at the tile's first pixel
  const int64_t* offsets;
  bool first;     // of the blocks of depth: the sums start from the bias
  const A* bias;  // one a row
  A* sums;
  int64_t sums_row;
};

inline constexpr int kSlabRows = 6;

// Vectors of a tile of so many rows: with its sums, the smaller of a column of filter elements and a
// row of vectors, and one more vector, it fills the registers; at most 8.
constexpr int slab_vectors(int rows) {
  int vectors = 1;
  for (int next = 2; next <= 8; ++next) {
    if (rows * next + (rows < next ? rows : next) + 1 <= kRegisters) vectors = next;
  }
  return vectors;
}

template <class A, int kRows>
void correlate_tile(const SlabTile<A>& tile) {
  constexpr int kVectors = slab_vectors(kRows);
  Vec<A> sums[kRows][kVectors] = {};
  const A* filter = tile.filter;
#pragma GCC unroll 4
  for (int64_t k = 0; k < tile.depth; ++k, filter += tile.filter_width) {
    const A* pixels = tile.slab + tile.offsets[k];
    if constexpr (kRows < kVectors) {
      Vec<A> factors[kRows];
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) factors[i] = splat<A>(filter[i]);
#pragma GCC unroll 16
      for (int j = 0; j < kVectors; ++j) {
        const Vec<A> vector = load(pixels + j * lanes<A>);
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i)
          sums[i][j] = multiply_add<A>(factors[i], vector, sums[i][j]);
      }
    } else {
      Vec<A> vectors[kVectors];
#pragma GCC unroll 16
      for (int j = 0; j < kVectors; ++j) vectors[j] = load(pixels + j * lanes<A>);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const Vec<A> factor = splat<A>(filter[i]);
#pragma GCC unroll 16
        for (int j = 0; j < kVectors; ++j)
          sums[i][j] = multiply_add<A>(factor, vectors[j], sums[i][j]);
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) {
      A* to = tile.sums + i * tile.sums_row + j * lanes<A>;
      store(to, (tile.first ? splat<A>(tile.bias[i]) : load(to)) + sums[i][j]);
    }
  }
}

template <class A>
using SlabKernel = void (*)(const SlabTile<A>&);

// The kernels by rows - 1.
template <class A, class Rows = std::make_integer_sequence<int, kSlabRows>>
inline constexpr std::nullptr_t kSlabKernels = nullptr;
template <class A, int... kRows>
inline constexpr SlabKernel<A> kSlabKernels<A, std::integer_sequence<int, kRows...>>[] = {
    correlate_tile<A, kRows + 1>...};

// Pixels of a tile of so many rows.
template <class A>
CNNOPS_INLINE int64_t slab_tile_pixels(int64_t rows) {
  return slab_vectors(int(rows)) * lanes<A>;
}
// What tiles may read and write behind the last pixel.
template <class A>
inline constexpr int64_t kSlabSlack = 8 * lanes<A>;

}  // namespace cnnops::CNNOPS_TARGET
