// The register tile every matrix multiplication of this package runs on:
//
//   sums[i][j] = start[i][j] + sum_k scalars(i, k) * vectors(k, j)
//
// i runs over a few rows whose factors are broadcast, j over whole vectors, k over the depth. Both
// factors have free strides, so that channels_last (pixels broadcast, output channels in vectors)
// and contiguous tensors (output channels broadcast, pixels in vectors) use the same code without a
// transposition. Products are summed from zero in registers, and a block of depth is added to its
// start (a bias, or the sums of the blocks before) once, which keeps the rounding error of a long
// reduction at that of its blocks.
#pragma once

#include "ahead.h"
#include "runs.h"

namespace cnnops::CNNOPS_TARGET {

template <class A>
struct TileOperands {
  int64_t pieces, depth;  // of k, and of a piece
  const A* scalars;
  int64_t scalar_row, scalar_piece, scalar_depth;  // strides of i, pieces and k, in elements
  const A* vectors;
  int64_t vector_depth;  // stride of k; j is contiguous
  const A* start;        // null for zeros; may be `sums`
  int64_t start_row;     // stride of i; j is contiguous
  A* sums;
  int64_t sums_row;  // stride of i; j is contiguous
  FetchedLines ahead;
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

// Fetches the sums' lines: stores leave in order, and after the depth a line that is not in the cache
// would hold up all behind it.
template <class A, int kRows, int kVectors>
CNNOPS_INLINE void fetch_sums(const TileOperands<A>& tile) {
  constexpr int kColumns = kVectors * lanes<A>, kLine = 64 / sizeof(A);
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    const A* row = tile.sums + i * tile.sums_row;
#pragma GCC unroll 16
    for (int j = 0; j < kColumns; j += kLine) __builtin_prefetch(row + j, 1);
    __builtin_prefetch(row + kColumns - 1, 1);
  }
}

// The depth is unrolled: on a core that two threads share, the instructions beside the products count.
template <class A, int kRows, int kVectors>
void multiply_tile(const TileOperands<A>& tile) {
  fetch_sums<A, kRows, kVectors>(tile);
  Vec<A> sums[kRows][kVectors] = {};
  const A* vectors = tile.vectors;
  const char* ahead = tile.ahead.first;
  for (int64_t piece = 0; piece < tile.pieces; ++piece) {
    const A* scalars = tile.scalars + piece * tile.scalar_piece;
#pragma GCC unroll 4
    for (int64_t k = 0; k < tile.depth; ++k) {
      if (tile.ahead.step != 0) __builtin_prefetch(ahead, 0, 2);
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
      ahead += tile.ahead.step;
    }
  }
  if (tile.start != nullptr) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
      for (int j = 0; j < kVectors; ++j)
        sums[i][j] += load(tile.start + i * tile.start_row + j * lanes<A>);
    }
  }
  A* to = tile.sums;
  const int64_t row = tile.sums_row;
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i, to += row) {
#pragma GCC unroll 16
    for (int j = 0; j < kVectors; ++j) store(to + j * lanes<A>, sums[i][j]);
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

// A product of any size above zero. Vectors come in panels of kTileVectors; scalars in panels of
// kTileRows rows, or all with one stride, which is the case of scalar_panel == kTileRows *
// scalar_row and allows taller tiles. Whole vectors of `vectors` are read, but only `columns` sums
// of a row are read or written. The depth is that of each of a few pieces of scalars, whose vectors
// follow each other.
template <class A>
struct Product {
  int64_t rows, columns, depth;
  int64_t pieces = 1;
  const A* scalars;
  int64_t scalar_panel, scalar_row, scalar_piece = 0, scalar_depth;
  const A* vectors;
  int64_t vector_panel, vector_depth;
  const A* start;  // null for zeros; may be `sums`
  int64_t start_panel, start_row;
  A* sums;  // panels lie side by side
  int64_t sums_row;
  Ahead ahead = {};
};

template <class A>
inline constexpr int64_t kTileColumns = kTileVectors * lanes<A>;

// The rows of a product's tiles: as many as fit, and about equally many each.
template <class A>
CNNOPS_INLINE int64_t tile_height(const Product<A>& product, int64_t vectors) {
  if (product.scalar_panel != kTileRows * product.scalar_row) return kTileRows;
  return divide_up(product.rows, divide_up(product.rows, tile_rows(int(vectors))));
}

// A tile whose last vector has fewer than lanes<A> columns: its sums are those of a copy.
template <class A>
void multiply_edge(TileOperands<A> tile, int64_t rows, int64_t columns) {
  constexpr int64_t kRow = kTileColumns<A>;
  A copy[tile_rows(1) * kRow] = {};
  A* const sums = tile.sums;
  if (tile.start != nullptr) {
    for (int64_t i = 0; i < rows; ++i)
      copy_run(tile.start + i * tile.start_row, copy + i * kRow, columns);
    tile.start = copy;
  }
  tile.start_row = kRow, tile.sums = copy;
  const int64_t sums_row = std::exchange(tile.sums_row, kRow);
  tile_kernel<A>(rows, divide_up(columns, lanes<A>))(tile);
  for (int64_t i = 0; i < rows; ++i) copy_run(copy + i * kRow, sums + i * sums_row, columns);
}

// `rows` rows from row i on, of panel j.
template <class A>
CNNOPS_INLINE void multiply_panel(const Product<A>& product, int64_t i, int64_t rows, int64_t j,
                                  Ahead& ahead) {
  const int64_t columns = smaller(kTileColumns<A>, product.columns - j * kTileColumns<A>);
  const int64_t vectors = divide_up(columns, lanes<A>);
  const TileOperands<A> tile{
      .pieces = product.pieces,
      .depth = product.depth,
      .scalars = product.scalars + i / kTileRows * product.scalar_panel +
                 i % kTileRows * product.scalar_row,
      .scalar_row = product.scalar_row,
      .scalar_piece = product.scalar_piece,
      .scalar_depth = product.scalar_depth,
      .vectors = product.vectors + j * product.vector_panel,
      .vector_depth = product.vector_depth,
      .start = product.start == nullptr
                   ? nullptr
                   : product.start + i * product.start_row + j * product.start_panel,
      .start_row = product.start_row,
      .sums = product.sums + i * product.sums_row + j * kTileColumns<A>,
      .sums_row = product.sums_row,
      .ahead = ahead.take(product.pieces * product.depth),
  };
  if (columns == vectors * lanes<A>) {
    tile_kernel<A>(rows, vectors)(tile);
  } else {
    multiply_edge(tile, rows, columns);
  }
}

// Panels [first, last), all `vectors` vectors wide.
template <class A>
CNNOPS_INLINE void multiply_panels(const Product<A>& product, int64_t first, int64_t last,
                                   int64_t vectors, Ahead& ahead) {
  const int64_t height = tile_height(product, vectors);
  for (int64_t i = 0; i < product.rows; i += height) {
    for (int64_t j = first; j < last; ++j)
      multiply_panel(product, i, smaller(height, product.rows - i), j, ahead);
  }
}

// One panel after the other.
template <class A>
void multiply(const Product<A>& product) {
  Ahead ahead = product.ahead;
  for (int64_t j = 0; j * kTileColumns<A> < product.columns; ++j) {
    const int64_t columns = smaller(kTileColumns<A>, product.columns - j * kTileColumns<A>);
    multiply_panels(product, j, j + 1, divide_up(columns, lanes<A>), ahead);
  }
}

// A few rows of all panels at a time, so that long rows of sums are written as a whole. For panels
// whose memory is one run: they are read anew for every few rows.
template <class A>
void multiply_rows(const Product<A>& product) {
  Ahead ahead = product.ahead;
  const int64_t whole = product.columns / kTileColumns<A>;
  const int64_t rest = product.columns - whole * kTileColumns<A>;
  multiply_panels(product, 0, whole, kTileVectors, ahead);
  if (rest > 0) multiply_panels(product, whole, whole + 1, divide_up(rest, lanes<A>), ahead);
}

}  // namespace cnnops::CNNOPS_TARGET
