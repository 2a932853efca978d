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

// The products of a scheme that a tile has along an axis. A short tile lacks the last of its kParts
// results, and with it the products that no other result needs: 14 results are tiles of 4, 4, 3 and
// 3, which have 22 products, not 24.
template <class Scheme>
CNNOPS_INLINE constexpr bool has_product(int product, bool is_short) {
  return !is_short || !Scheme::is_of_last_part(product);
}
template <class Scheme>
constexpr int count_products(bool is_short) {
  int count = 0;
  for (int i = 0; i < Scheme::kProducts; ++i) count += has_product<Scheme>(i, is_short);
  return count;
}

// The samples, or results, that a tile has along an axis.
template <class Scheme>
inline constexpr int kSourcePart = Scheme::kSourceStep / Scheme::kParts;
template <class Scheme>
inline constexpr int kResultPart = Scheme::kResults / Scheme::kParts;
template <class Scheme>
constexpr int count_samples(bool is_short) {
  return Scheme::kSamples - (is_short ? kSourcePart<Scheme> : 0);
}

// What tiles read or write along an axis: the first starts at sample `first`, the others `step` or,
// after a short one, `short_step` further on. What lies outside is zero, or dropped.
struct TileSamples {
  int64_t size, first, step, short_step;
};

// The `whole` first tiles are whole, the others short.
struct TileAxis {
  int64_t tiles, whole;
  TileSamples source, result;

  // Short or other tiles among the first `tile` ones.
  int64_t before(int64_t tile, bool is_short) const {
    return is_short ? larger<int64_t>(0, tile - whole) : smaller(tile, whole);
  }
  int64_t start(const TileSamples& samples, int64_t tile) const {
    return samples.first + before(tile, false) * samples.step +
           before(tile, true) * samples.short_step;
  }
  template <class Scheme>
  int64_t products() const {
    return before(tiles, false) * count_products<Scheme>(false) +
           before(tiles, true) * count_products<Scheme>(true);
  }
};

// What a tile lacks: its last row of results, its last column.
struct TileKind {
  bool is_low, is_narrow;
};

struct TileGrid {
  TileAxis h, w;

  int64_t tiles() const { return h.tiles * w.tiles; }
  template <class Scheme>
  int64_t products() const {
    return h.products<Scheme>() * w.products<Scheme>();
  }
  // Tiles of a kind among the first `tile` ones, counted over images, rows and columns.
  int64_t before(int64_t tile, const TileKind& kind) const {
    const int64_t row = tile / w.tiles, column = tile % w.tiles;
    const int64_t image = row / h.tiles, y = row % h.tiles;
    const int64_t rows = image * h.before(h.tiles, kind.is_low) + h.before(y, kind.is_low);
    return rows * w.before(w.tiles, kind.is_narrow) +
           ((y >= h.whole) == kind.is_low ? w.before(column, kind.is_narrow) : 0);
  }
};

// Tiles of a scheme for so many results, whose source starts at `source_first` for the first of them,
// which is result `result_first`.
template <class Scheme>
TileAxis tile_axis(int64_t source, int64_t source_first, int64_t result, int64_t result_first) {
  constexpr int64_t kStep = Scheme::kSourceStep, kResults = Scheme::kResults;
  const int64_t parts = divide_up(result - result_first, kResultPart<Scheme>);
  const int64_t tiles = divide_up(parts, Scheme::kParts);
  return {.tiles = tiles,
          .whole = larger<int64_t>(0, parts - tiles * (Scheme::kParts - 1)),
          .source = {source, source_first, kStep, kStep - kSourcePart<Scheme>},
          .result = {result, result_first, kResults, kResults - kResultPart<Scheme>}};
}

template <class Scheme>
TileAxis forward_tiles(const WindowAxis& axis) {
  return tile_axis<Scheme>(axis.input, -axis.padding, axis.output, 0);
}

template <class Scheme>
TileGrid forward_grid(const Conv2dShape& shape) {
  const WindowGrid grid = window_grid(shape);
  return {forward_tiles<Scheme>(grid.h), forward_tiles<Scheme>(grid.w)};
}

// The input gradient with stride 1: grad_output under the rotated filter.
template <class Scheme>
TileAxis gradient_tiles(const WindowAxis& axis) {
  return tile_axis<Scheme>(axis.output, axis.padding - (axis.kernel - 1), axis.input, 0);
}

// With stride 2, input row h receives grad_output row q through tap h + padding - 2 q. Tiles start
// at an even h + padding.
template <class Scheme>
TileAxis stride_two_gradient_tiles(const WindowAxis& axis) {
  const int64_t odd = axis.padding & 1;
  return tile_axis<Scheme>(axis.output, (axis.padding - odd) / 2 - 1, axis.input, -odd);
}

}  // namespace cnnops::CNNOPS_TARGET
