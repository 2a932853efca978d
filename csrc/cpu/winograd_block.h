// The order in which the tiles of a Winograd convolution lie in memory.
#pragma once

#include "winograd_tiles.h"

namespace cnnops::CNNOPS_TARGET {

// Neighbouring tiles of one row of tiles of an image: `whole` tiles of full width, then narrow ones.
// Either have their slots in a block one after the other.
struct TileStrip {
  int64_t image, row, first, tiles, whole;
  int64_t slot, narrow_slot;
  bool is_low;

  // body(tile of the strip, slot, whether it is narrow), the latter as a type.
  template <class Body>
  CNNOPS_INLINE void for_each_tile(Body body) const {
    for (int64_t t = 0; t < whole; ++t) body(t, slot + t, std::false_type{});
    for (int64_t t = whole; t < tiles; ++t) body(t, narrow_slot + t - whole, std::true_type{});
  }
};

// Tiles of a grid whose factors are in memory together. Slots go to narrow tiles first, then to whole
// ones, to low ones and to those that are both: the tiles that have a product have neighbouring slots.
class TileBlock {
 public:
  TileBlock(const TileGrid& grid, const Range& tiles) : grid_(grid), tiles_(tiles) {
    if (tiles.first == tiles.last) return;
    for (int i = 0; i < kKinds; ++i) {
      before_[i] = grid.before(tiles.first, kKind[i]);
      slot_[i + 1] = slot_[i] + grid.before(tiles.last, kKind[i]) - before_[i];
    }
  }

  const Range& tiles() const { return tiles_; }

  // The slots of the tiles that have a product.
  template <class Scheme>
  Range with_product(int product) const {
    const bool low_have = has_product<Scheme>(product / Scheme::kProducts, true),
               narrow_have = has_product<Scheme>(product % Scheme::kProducts, true);
    const int last_kind = narrow_have ? kLowNarrow : kLow;
    return {slot_[narrow_have ? kNarrow : kWhole], slot_[low_have ? last_kind + 1 : kLow]};
  }

  // body(strip) for the strips of some of the tiles.
  template <class Body>
  CNNOPS_INLINE void for_each_strip(const Range& tiles, Body body) const {
    const TileAxis &h = grid_.h, &w = grid_.w;
    for (int64_t tile = tiles.first; tile < tiles.last;) {
      const int64_t row = tile / w.tiles, column = tile % w.tiles;
      const int64_t count = smaller(w.tiles - column, tiles.last - tile);
      const bool is_low = row % h.tiles >= h.whole;
      body(TileStrip{.image = row / h.tiles,
                     .row = row % h.tiles,
                     .first = column,
                     .tiles = count,
                     .whole = w.before(column + count, false) - w.before(column, false),
                     .slot = slot(tile, is_low ? kLow : kWhole),
                     .narrow_slot = slot(tile, is_low ? kLowNarrow : kNarrow),
                     .is_low = is_low});
      tile += count;
    }
  }

 private:
  enum { kNarrow, kWhole, kLow, kLowNarrow, kKinds };
  static constexpr TileKind kKind[kKinds] = {
      {false, true}, {false, false}, {true, false}, {true, true}};

  // That of the first tile of a kind from `tile` on.
  int64_t slot(int64_t tile, int kind) const {
    return slot_[kind] + grid_.before(tile, kKind[kind]) - before_[kind];
  }

  const TileGrid& grid_;
  Range tiles_;
  int64_t before_[kKinds] = {}, slot_[kKinds + 1] = {};
};

}  // namespace cnnops::CNNOPS_TARGET
