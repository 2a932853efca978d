// The register tile of a matrix product whose factors are both contiguous along the depth:
//
//   sums[i][j] += sum_{segment, k} rows(i, segment, k) * columns(j, segment, k)
//
// Lanes run along the depth and are added up at its end: nothing is broadcast or transposed. A
// depth of a few hundred makes the addition across lanes cheap.
//
// The sums of a tile lie together, [row][kDotColumns] and zeros up to whole vectors: what is added to
// them once a block of depth is what the addition across lanes yields.
#pragma once

#include "transpose.h"

namespace cnnops::CNNOPS_TARGET {

// The sums of a tile, one vector of a row's factors each, and one of a column's fit the registers.
inline constexpr int kDotRows = kRegisters == 32 ? 4 : 3;
inline constexpr int kDotColumns = kRegisters == 32 ? 6 : 4;
static_assert(kDotRows * (kDotColumns + 1) + 1 <= kRegisters);

template <class A>
inline constexpr int kDotSums =
    (kDotRows * kDotColumns + int(lanes<A>) - 1) / int(lanes<A>) * int(lanes<A>);

template <class A>
struct DotProduct {
  int64_t rows, columns;
  int64_t segments, depth;  // of each segment
  const A* row_data;
  const int64_t* row_offsets;  // of i, in elements
  int64_t row_segment;         // stride of segments
  const A* column_data;
  int64_t column_stride, column_segment;  // of j and of segments
  A* sums;                                // [row of tiles][column of tiles][kDotSums]
};

// The first sum of the tile at (row, column) among `columns` of them.
template <class A>
CNNOPS_INLINE int64_t dot_tile_at(int64_t row, int64_t column, int64_t columns) {
  return (row / kDotRows * divide_up(columns, kDotColumns) + column / kDotColumns) * kDotSums<A>;
}
// Elements of all of them.
template <class A>
CNNOPS_INLINE int64_t dot_sums_size(int64_t rows, int64_t columns) {
  return divide_up(rows, kDotRows) * divide_up(columns, kDotColumns) * kDotSums<A>;
}

template <class A>
struct WholeVector {
  CNNOPS_INLINE Vec<A> operator()(const A* from) const { return load(from); }
};
template <class A>
struct PartialVector {
  int64_t count;
  CNNOPS_INLINE Vec<A> operator()(const A* from) const { return load_partial(from, count); }
};

// Adds one vector of the depth, which fetch(address) reads.
template <class A, int kRows, int kColumns, class Fetch>
CNNOPS_INLINE void add_vector(Vec<A> (&sums)[kRows * kColumns], const A* const (&rows)[kRows],
                              const A* columns, int64_t column_stride, Fetch fetch) {
  Vec<A> row[kRows];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) row[i] = fetch(rows[i]);
#pragma GCC unroll 16
  for (int j = 0; j < kColumns; ++j) {
    const Vec<A> column = fetch(columns + j * column_stride);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
      sums[i * kColumns + j] = multiply_add<A>(row[i], column, sums[i * kColumns + j]);
  }
}

template <class A, int kRows, int kColumns>
void dot_tile(const DotProduct<A>& tile) {
  constexpr int kLanes = int(lanes<A>);
  Vec<A> sums[kRows * kColumns] = {};
  for (int64_t segment = 0; segment < tile.segments; ++segment) {
    const A* rows[kRows];
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
      rows[i] = tile.row_data + tile.row_offsets[i] + segment * tile.row_segment;
    const A* columns = tile.column_data + segment * tile.column_segment;
    int64_t k = 0;
    for (; k + kLanes <= tile.depth; k += kLanes, columns += kLanes) {
      add_vector<A, kRows, kColumns>(sums, rows, columns, tile.column_stride, WholeVector<A>{});
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) rows[i] += kLanes;
    }
    if (k < tile.depth) {
      add_vector<A, kRows, kColumns>(sums, rows, columns, tile.column_stride,
                                     PartialVector<A>{tile.depth - k});
    }
  }
#pragma GCC unroll 16
  for (int first = 0; first < kDotSums<A>; first += kLanes) {
    Vec<A> group[kLanes] = {};
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      const int row = (first + i) / kDotColumns, column = (first + i) % kDotColumns;
      if (row < kRows && column < kColumns) group[i] = sums[row * kColumns + column];
    }
    store(tile.sums + first, load(tile.sums + first) + lane_sums<A>(group));
  }
}

template <class A>
using DotKernel = void (*)(const DotProduct<A>&);

// The kernels of all tiles, by (rows - 1) * kDotColumns + columns - 1.
template <class A, class Tiles = std::make_integer_sequence<int, kDotRows * kDotColumns>>
inline constexpr std::nullptr_t kDotKernels = nullptr;
template <class A, int... kTile>
inline constexpr DotKernel<A> kDotKernels<A, std::integer_sequence<int, kTile...>>[] = {
    dot_tile<A, kTile / kDotColumns + 1, kTile % kDotColumns + 1>...};

// Adds a product of any size above zero to its sums.
template <class A>
void add_dot_product(const DotProduct<A>& product) {
  for (int64_t j = 0; j < product.columns; j += kDotColumns) {
    for (int64_t i = 0; i < product.rows; i += kDotRows) {
      DotProduct<A> tile = product;
      tile.rows = smaller<int64_t>(kDotRows, product.rows - i);
      tile.columns = smaller<int64_t>(kDotColumns, product.columns - j);
      tile.row_offsets += i;
      tile.column_data += j * product.column_stride;
      tile.sums += dot_tile_at<A>(i, j, product.columns);
      kDotKernels<A>[(tile.rows - 1) * kDotColumns + tile.columns - 1](tile);
    }
  }
}

}  // namespace cnnops::CNNOPS_TARGET
