// The tiles of a Winograd convolution: where they lie in the source and in the result.
#pragma once

#include "operands.h"
#include "winograd_scheme.h"

namespace cnnops::CNNOPS_TARGET {

// Products of a tile of the two-dimensional scheme, and the filter that one of them uses.
template <class Scheme>
inline constexpr int64_t kWinogradProducts = Scheme::kProducts * Scheme::kProducts;
template <class Scheme>
CNNOPS_INLINE constexpr int filter_of(int product) {
  return Scheme::filter_of(product / Scheme::kProducts) * Scheme::kFilters +
         Scheme::filter_of(product % Scheme::kProducts);
}

// Tile t of an axis reads source samples from source_first + t * source_step on and gives results
// from result_first + t * result_step on; what lies outside is zero, or dropped.
struct TileAxis {
  int64_t tiles;
  int64_t source, source_first, source_step;
  int64_t result, result_first, result_step;
};

struct TileGrid {
  TileAxis h, w;

  int64_t tiles() const { return h.tiles * w.tiles; }
};

// Neighbouring tiles of one row of tiles of an image. `slot` counts the tiles of a block.
struct TileStrip {
  int64_t image, row, first, tiles, slot;
};

// body(strip) for the strips of the tiles [first, last), counted over images, rows and columns.
template <class Body>
CNNOPS_INLINE void for_each_strip(const TileGrid& grid, int64_t first, int64_t last, Body body) {
  for (int64_t tile = first; tile < last;) {
    const int64_t row = tile / grid.w.tiles, column = tile % grid.w.tiles;
    const int64_t tiles = smaller(grid.w.tiles - column, last - tile);
    body(TileStrip{row / grid.h.tiles, row % grid.h.tiles, column, tiles, tile - first});
    tile += tiles;
  }
}

template <class Scheme>
TileAxis forward_tiles(const WindowAxis& axis) {
  return {.tiles = divide_up(axis.output, Scheme::kResults),
          .source = axis.input,
          .source_first = -axis.padding,
          .source_step = Scheme::kSourceStep,
          .result = axis.output,
          .result_first = 0,
          .result_step = Scheme::kResults};
}

template <class Scheme>
TileGrid forward_grid(const Conv2dShape& shape) {
  const WindowGrid grid = window_grid(shape);
  return {forward_tiles<Scheme>(grid.h), forward_tiles<Scheme>(grid.w)};
}

// The input gradient with stride 1: grad_output under the rotated filter.
template <class Scheme>
TileAxis gradient_tiles(const WindowAxis& axis) {
  return {.tiles = divide_up(axis.input, Scheme::kResults),
          .source = axis.output,
          .source_first = axis.padding - (axis.kernel - 1),
          .source_step = Scheme::kSourceStep,
          .result = axis.input,
          .result_first = 0,
          .result_step = Scheme::kResults};
}

// With stride 2, input row h receives grad_output row q through tap h + padding - 2 q. Tiles start
// at an even h + padding.
template <class Scheme>
TileAxis stride_two_gradient_tiles(const WindowAxis& axis) {
  const int64_t odd = axis.padding & 1, first = (axis.padding - odd) / 2;
  return {.tiles = divide_up(axis.input + odd, Scheme::kResults),
          .source = axis.output,
          .source_first = first - 1,
          .source_step = Scheme::kSourceStep,
          .result = axis.input,
          .result_first = -odd,
          .result_step = Scheme::kResults};
}

}  // namespace cnnops::CNNOPS_TARGET
