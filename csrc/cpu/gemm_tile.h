// The register tile every matrix multiplication of this package runs on:
//
//   sums[i][j] += sum_k scalars(i, k) * vectors(k, j)
//
// i runs over a few rows whose factors are broadcast, j over whole vectors, k over the depth. Both
// factors have free strides, so that channels_last (pixels broadcast, output channels in vectors)
// and contiguous tensors (output channels broadcast, pixels in vectors) use the same code without a
// transposition. Sums start from zero in registers and are added to memory once a block of depth,
// which keeps the rounding error of a long reduction at that of its blocks.
#pragma once

#include "vector.h"

namespace cnnops::CNNOPS_TARGET {

template <class A>
struct TileOperands {
  int64_t depth;
  const A* scalars;
  int64_t scalar_row, scalar_depth;  // strides of i and k, in elements
  const A* vectors;
  int64_t vector_depth;  // stride of k; j is contiguous
  A* sums;
  int64_t sums_row;  // stride of i; j is contiguous
};

// Rows and vectors of the largest tile: its sums, one row of vectors and a broadcast fit the
// registers.
inline constexpr int kTileRows = 6;
inline constexpr int kTileVectors = kRegisters == 32 ? 4 : 2;
static_assert(kTileRows * kTileVectors + kTileVectors + 1 <= kRegisters);

template <class A, int kRows, int kVectors>
void multiply_tile(const TileOperands<A>& tile) {
  Vec<A> sums[kRows][kVectors] = {};
  const A* scalars = tile.scalars;
  const A* vectors = tile.vectors;
  for (int64_t k = 0; k < tile.depth; ++k) {
    Vec<A> column[kVectors];
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) column[j] = load(vectors + j * lanes<A>);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const Vec<A> factor = splat<A>(scalars[i * tile.scalar_row]);
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) sums[i][j] += factor * column[j];
    }
    scalars += tile.scalar_depth;
    vectors += tile.vector_depth;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) {
      A* to = tile.sums + i * tile.sums_row + j * lanes<A>;
      store(to, load(to) + sums[i][j]);
    }
  }
}

template <class A>
using TileKernel = void (*)(const TileOperands<A>&);

// The kernel for each size of tile: kTileKernels<A, kRows>[vectors - 1].
template <class A, int kRows>
inline constexpr TileKernel<A> kTileKernels[] = {
    multiply_tile<A, kRows, 1>,
    multiply_tile<A, kRows, 2>,
#if defined(CNNOPS_AVX512) || defined(CNNOPS_NEON)
    multiply_tile<A, kRows, 3>,
    multiply_tile<A, kRows, 4>,
#endif
};

template <class A>
CNNOPS_INLINE TileKernel<A> tile_kernel(int64_t rows, int64_t vectors) {
  switch (rows) {
    case 1:
      return kTileKernels<A, 1>[vectors - 1];
    case 2:
      return kTileKernels<A, 2>[vectors - 1];
    case 3:
      return kTileKernels<A, 3>[vectors - 1];
    case 4:
      return kTileKernels<A, 4>[vectors - 1];
    case 5:
      return kTileKernels<A, 5>[vectors - 1];
    default:
      return kTileKernels<A, kTileRows>[vectors - 1];
  }
}

// A product of any size. Both factors come in tiles: kTileRows rows of scalars, kTileVectors
// vectors of columns.
template <class A>
struct Product {
  int64_t rows, columns, depth;
  const A* scalars;
  int64_t scalar_tile, scalar_row, scalar_depth;
  const A* vectors;
  int64_t vector_tile, vector_depth;
  A* sums;
  int64_t sums_row;
};

template <class A>
inline constexpr int64_t kTileColumns = kTileVectors * lanes<A>;

template <class A>
void multiply(const Product<A>& product) {
  for (int64_t j = 0; j * kTileColumns<A> < product.columns; ++j) {
    const int64_t columns = smaller(kTileColumns<A>, product.columns - j * kTileColumns<A>);
    for (int64_t i = 0; i * kTileRows < product.rows; ++i) {
      const int64_t rows = smaller<int64_t>(kTileRows, product.rows - i * kTileRows);
      tile_kernel<A>(rows, divide_up(columns, lanes<A>))({
          .depth = product.depth,
          .scalars = product.scalars + i * product.scalar_tile,
          .scalar_row = product.scalar_row,
          .scalar_depth = product.scalar_depth,
          .vectors = product.vectors + j * product.vector_tile,
          .vector_depth = product.vector_depth,
          .sums = product.sums + i * kTileRows * product.sums_row + j * kTileColumns<A>,
          .sums_row = product.sums_row,
      });
    }
  }
}

}  // namespace cnnops::CNNOPS_TARGET
