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

// Rows of a tile so many vectors wide: its sums, one row of vectors and a broadcast fit the
// registers.
constexpr int tile_rows(int vectors) {
  const int rows = (kRegisters - vectors - 1) / vectors;
  return rows < 12 ? rows : 12;
}

// The widest tile, and the rows that a tile of any width can have.
inline constexpr int kTileVectors = kRegisters == 32 ? 4 : 2;
inline constexpr int kTileRows = tile_rows(kTileVectors);

template <class A, int kRows, int kVectors>
void multiply_tile(const TileOperands<A>& tile) {
  Vec<A> sums[kRows][kVectors] = {};
  const A* scalars = tile.scalars;
  const A* vectors = tile.vectors;
  for (int64_t k = 0; k < tile.depth; ++k) {
    Vec<A> column[kVectors];
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) column[j] = load(vectors + j * lanes<A>);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Vec<A> factor = splat<A>(scalars[i * tile.scalar_row]);
#pragma GCC unroll 16
      for (int j = 0; j < kVectors; ++j)
        sums[i][j] = multiply_add<A>(factor, column[j], sums[i][j]);
    }
    scalars += tile.scalar_depth;
    vectors += tile.vector_depth;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) {
      A* to = tile.sums + i * tile.sums_row + j * lanes<A>;
      store(to, load(to) + sums[i][j]);
    }
  }
}

template <class A>
using TileKernel = void (*)(const TileOperands<A>&);

// The kernels of tiles so many vectors wide, by rows - 1.
template <class A, int kVectors, class Rows = std::make_integer_sequence<int, tile_rows(kVectors)>>
inline constexpr std::nullptr_t kTileKernels = nullptr;
template <class A, int kVectors, int... kRows>
inline constexpr TileKernel<A> kTileKernels<A, kVectors, std::integer_sequence<int, kRows...>>[] = {
    multiply_tile<A, kRows + 1, kVectors>...};

template <class A>
CNNOPS_INLINE TileKernel<A> tile_kernel(int64_t rows, int64_t vectors) {
  if constexpr (kTileVectors == 4) {
    if (vectors == 4) return kTileKernels<A, 4>[rows - 1];
    if (vectors == 3) return kTileKernels<A, 3>[rows - 1];
  }
  return vectors == 2 ? kTileKernels<A, 2>[rows - 1] : kTileKernels<A, 1>[rows - 1];
}

// A product of any size above zero. Vectors come in panels of kTileVectors; scalars in panels of kTileRows
// rows, or all with one stride, which is the case of scalar_panel == kTileRows * scalar_row and
// allows taller tiles.
template <class A>
struct Product {
  int64_t rows, columns, depth;
  const A* scalars;
  int64_t scalar_panel, scalar_row, scalar_depth;
  const A* vectors;
  int64_t vector_panel, vector_depth;
  A* sums;
  int64_t sums_row;
};

template <class A>
inline constexpr int64_t kTileColumns = kTileVectors * lanes<A>;

// The rows of a product's tiles: as many as fit, and about equally many each.
template <class A>
CNNOPS_INLINE int64_t tile_height(const Product<A>& product, int64_t vectors) {
  if (product.scalar_panel != kTileRows * product.scalar_row) return kTileRows;
  return divide_up(product.rows, divide_up(product.rows, tile_rows(int(vectors))));
}

template <class A>
void multiply(const Product<A>& product) {
  for (int64_t j = 0; j * kTileColumns<A> < product.columns; ++j) {
    const int64_t columns = smaller(kTileColumns<A>, product.columns - j * kTileColumns<A>);
    const int64_t vectors = divide_up(columns, lanes<A>), height = tile_height(product, vectors);
    for (int64_t i = 0; i < product.rows; i += height) {
      tile_kernel<A>(smaller(height, product.rows - i), vectors)({
          .depth = product.depth,
          .scalars = product.scalars + i / kTileRows * product.scalar_panel +
                     i % kTileRows * product.scalar_row,
          .scalar_row = product.scalar_row,
          .scalar_depth = product.scalar_depth,
          .vectors = product.vectors + j * product.vector_panel,
          .vector_depth = product.vector_depth,
          .sums = product.sums + i * product.sums_row + j * kTileColumns<A>,
          .sums_row = product.sums_row,
      });
    }
  }
}

}  // namespace cnnops::CNNOPS_TARGET
