// Tiles: rectangles of maps with many channels or maps side by side in the lanes of vectors, so that
// any window, stride or dilation is a matter of addresses. Every memory format and storage type is
// turned into tiles, and back, here.
//
// channels_last lies like a tile already, and is read and written in place where it can be. Of NCHW,
// a vector of maps is transposed.
#pragma once

#include "ahead.h"
#include "dtype_switch.h"
#include "transpose.h"

namespace cnnops::CNNOPS_TARGET {

struct Area {
  int64_t row, rows, column, columns;

  int64_t size() const { return rows * columns; }
};

// The lanes of a tile. channels_last: `count` channels of an image, whole vectors of them or less
// than one. NCHW: up to one vector of maps, going on through the channels into the next images.
struct LaneBlock {
  int64_t image, channel, count;
};

// What a tile holds of its area; the lanes of a sample are contiguous.
template <class A>
struct Tile {
  A* data;
  int64_t row, column;  // elements from one row, one column to the next
  Area area;

  A* at(int64_t y, int64_t x) const {
    return data + (y - area.row) * row + (x - area.column) * column;
  }
};

// ---- elements as lanes: numbers are widened, positions are the bits of an Int<A> ----

template <class E>
inline constexpr bool kIsPosition = false;
template <>
inline constexpr bool kIsPosition<uint8_t> = true;
template <>
inline constexpr bool kIsPosition<int32_t> = true;

template <class A, class E>
CNNOPS_INLINE Vec<A> load_lanes(const E* from) {
  if constexpr (sizeof(E) == 1) {
    return bit_cast<Vec<A>>(load_bytes<A>(from));
  } else if constexpr (kIsPosition<E>) {
    return bit_cast<Vec<A>>(__builtin_convertvector(load_as<Packed<E, A>>(from), Ints<A>));
  } else {
    return load(from);
  }
}
template <class A, class E>
CNNOPS_INLINE A load_lane(const E* from) {
  if constexpr (kIsPosition<E>) {
    return bit_cast<A>(Int<A>(*from));
  } else {
    return load_scalar(from);
  }
}
template <class A, class E>
CNNOPS_INLINE Vec<A> load_some_lanes(const E* from, int64_t count) {
  if constexpr (sizeof(E) == 1) {
    return bit_cast<Vec<A>>(load_some_bytes<A>(from, count));
  } else if constexpr (kIsPosition<E>) {
    E whole[lanes<A>] = {};
    for (int64_t i = 0; i < count; ++i) whole[i] = from[i];
    return load_lanes<A>(whole);
  } else {
    return load_partial(from, count);
  }
}
template <class A, class E>
CNNOPS_INLINE void store_lanes(E* to, Vec<A> value) {
  if constexpr (sizeof(E) == 1) {
    store_bytes<A>(to, bit_cast<Ints<A>>(value));
  } else if constexpr (kIsPosition<E>) {
    const auto narrow = __builtin_convertvector(bit_cast<Ints<A>>(value), Packed<E, A>);
    __builtin_memcpy(to, &narrow, sizeof(narrow));
  } else {
    store(to, value);
  }
}
template <class A, class E>
CNNOPS_INLINE void store_lane(E* to, A value) {
  if constexpr (kIsPosition<E>) {
    *to = E(bit_cast<Int<A>>(value));
  } else {
    store_scalar(to, value);
  }
}
template <class A, class E>
CNNOPS_INLINE void store_some_lanes(E* to, Vec<A> value, int64_t count) {
  if constexpr (sizeof(E) == 1) {
    store_some_bytes<A>(to, bit_cast<Ints<A>>(value), count);
  } else if constexpr (kIsPosition<E>) {
    for (int64_t i = 0; i < count; ++i) to[i] = E(bit_cast<Ints<A>>(value)[i]);
  } else {
    store_partial(to, value, count);
  }
}

// ---- channels_last ----

// body(sample, lanes, whole) for every sample of an area and its place in a tile. Fewer channels than
// lanes are `whole` where the rest of a vector belongs to later samples of the row: to read it does
// no harm, and what is written there is overwritten.
template <class A, class E, class Body>
CNNOPS_INLINE void for_samples(E* data, const Strides4& stride, const LaneBlock& block,
                               const Tile<A>& tile, Body body) {
  const Area& area = tile.area;
  E* row = data + block.image * stride.n + block.channel * stride.c + area.row * stride.h +
           area.column * stride.w;
  const bool joined = stride.w == block.count;
  for (int64_t y = 0; y < area.rows; ++y, row += stride.h) {
    A* lane = tile.data + y * tile.row;
    for (int64_t x = 0; x < area.columns; ++x, lane += tile.column)
      body(row + x * stride.w, lane, joined && (area.columns - x) * block.count >= lanes<A>);
  }
}

template <class A, class E>
void load_channels(const void* data, const Strides4& stride, int64_t, const LaneBlock& block,
                   const Tile<A>& tile) {
  const E* elements = static_cast<const E*>(data);
  for_samples(elements, stride, block, tile, [&](const E* from, A* to, bool whole) {
    if (stride.c != 1) {
      for (int64_t c = 0; c < block.count; ++c) to[c] = load_lane<A>(from + c * stride.c);
    } else if (block.count < lanes<A> && !whole) {
      store(to, load_some_lanes<A>(from, block.count));
    } else {
      for (int64_t c = 0; c < block.count; c += lanes<A>) store(to + c, load_lanes<A>(from + c));
    }
  });
}

template <class A, class E>
void store_channels(void* data, const Strides4& stride, int64_t, const LaneBlock& block,
                    const Tile<A>& tile) {
  for_samples(static_cast<E*>(data), stride, block, tile, [&](E* to, const A* from, bool whole) {
    if (block.count < lanes<A> && !whole) {
      store_some_lanes<A>(to, load(from), block.count);
    } else {
      for (int64_t c = 0; c < block.count; c += lanes<A>) store_lanes<A>(to + c, load(from + c));
    }
  });
}

// ---- NCHW ----

// The maps of a block. Lanes without a map repeat the last one: they compute and write the same.
template <class A, class E>
struct Maps {
  E* first[lanes<A>];  // sample (0, 0)

  Maps(E* data, const Strides4& stride, int64_t channels, const LaneBlock& block) {
    int64_t image = block.image, channel = block.channel;
    for (int64_t l = 0; l < lanes<A>; ++l) {
      first[l] = data + image * stride.n + channel * stride.c;
      if (l + 1 >= block.count) continue;
      if (++channel == channels) channel = 0, ++image;
    }
  }
};

// body(offset in the maps, samples, lanes) for every run of samples of an area that lie stride.w
// apart: a row, or all rows that follow one another in memory.
template <class A, class Body>
CNNOPS_INLINE void for_map_runs(const Strides4& stride, const Tile<A>& tile, Body body) {
  const Area& area = tile.area;
  const bool joined = stride.h == area.columns * stride.w;
  const int64_t runs = joined ? 1 : area.rows, length = joined ? area.size() : area.columns;
  int64_t offset = area.row * stride.h + area.column * stride.w;
  for (int64_t y = 0; y < runs; ++y, offset += stride.h)
    body(offset, length, tile.data + y * tile.row);
}

// Elements from a tile of whole dense maps, whose last row may have no window, to the next tile: it lies in
// other pages, which processors do not foresee. `otherwise` if maps are larger than tiles.
template <class A>
CNNOPS_INLINE int64_t next_tile(const Strides4& stride, const Tile<A>& tile, int64_t otherwise) {
  return (tile.area.rows + 1) * stride.h < stride.c ? otherwise : lanes<A> * stride.c;
}

template <class A, class E>
void load_maps(const void* data, const Strides4& stride, int64_t channels, const LaneBlock& block,
               const Tile<A>& tile) {
  const Maps<A, const E> maps(static_cast<const E*>(data), stride, channels, block);
  const int64_t next = next_tile(stride, tile, kPage / sizeof(E));
  for_map_runs(stride, tile, [&](int64_t offset, int64_t count, A* to) {
    if (stride.w != 1 || count < lanes<A>) {
      for (int64_t i = 0; i < count; ++i, offset += stride.w) {
        for (int64_t l = 0; l < lanes<A>; ++l) *to++ = load_lane<A>(maps.first[l] + offset);
      }
      return;
    }
    // The last square reaches back over the one before.
    for (int64_t i = 0; i < count; i += lanes<A>) {
      i = smaller(i, count - lanes<A>);
      Vec<A> square[lanes<A>];
#pragma GCC unroll 16
      for (int64_t l = 0; l < lanes<A>; ++l) {
        __builtin_prefetch(maps.first[l] + offset + i + next);
        square[l] = load_lanes<A>(maps.first[l] + offset + i);
      }
      transpose<A>(square);
#pragma GCC unroll 16
      for (int64_t l = 0; l < lanes<A>; ++l) store(to + (i + l) * lanes<A>, square[l]);
    }
  });
}

template <class A, class E>
void store_maps(void* data, const Strides4& stride, int64_t channels, const LaneBlock& block,
                const Tile<A>& tile) {
  const Maps<A, E> maps(static_cast<E*>(data), stride, channels, block);
  const int64_t next = next_tile(stride, tile, 0);
  for_map_runs(stride, tile, [&](int64_t offset, int64_t count, const A* from) {
    if (count < lanes<A>) {
      for (int64_t i = 0; i < count; ++i, ++offset) {
        for (int64_t l = 0; l < lanes<A>; ++l) store_lane<A>(maps.first[l] + offset, *from++);
      }
      return;
    }
    for (int64_t i = 0; i < count; i += lanes<A>) {
      i = smaller(i, count - lanes<A>);
      Vec<A> square[lanes<A>];
#pragma GCC unroll 16
      for (int64_t l = 0; l < lanes<A>; ++l) square[l] = load(from + (i + l) * lanes<A>);
      transpose<A>(square);
#pragma GCC unroll 16
      for (int64_t l = 0; l < lanes<A>; ++l) {
        __builtin_prefetch(maps.first[l] + offset + i + next, 1);
        store_lanes<A>(maps.first[l] + offset + i, square[l]);
      }
    }
  });
}

// ---- tensors as sources and destinations of tiles ----

template <class A>
using LoadTile = void (*)(const void* data, const Strides4& stride, int64_t channels,
                          const LaneBlock& block, const Tile<A>& tile);
template <class A>
using StoreTile = void (*)(void* data, const Strides4& stride, int64_t channels,
                           const LaneBlock& block, const Tile<A>& tile);

// A tensor that is read. A tile is `in_place` where whole vectors of accumulators lie in memory.
template <class A>
struct TileSource {
  const void* data;
  Strides4 stride;
  LoadTile<A> load;
  bool in_place;
};
// A tensor that is written: dense.
template <class A>
struct TileResult {
  void* data;
  Strides4 stride;
  StoreTile<A> store;
  bool in_place;
};

template <class E, class A>
TileSource<A> tile_source(const Pool2dProblem& problem, const ConstTensor& tensor) {
  const bool in_place = problem.channels_last && sizeof(E) == sizeof(A) && !kIsPosition<E> &&
                        tensor.stride.c == 1 && problem.shape.channels >= lanes<A>;
  return {tensor.data, tensor.stride, problem.channels_last ? load_channels<A, E> : load_maps<A, E>,
          in_place};
}
template <class E, class A>
TileResult<A> tile_result(const Pool2dProblem& problem, const MutableTensor& tensor) {
  const bool in_place = problem.channels_last && sizeof(E) == sizeof(A) && !kIsPosition<E> &&
                        problem.shape.channels >= lanes<A>;
  return {tensor.data, tensor.stride,
          problem.channels_last ? store_channels<A, E> : store_maps<A, E>, in_place};
}

// Numbers of the problem's dtype.
template <class A>
TileSource<A> values(const Pool2dProblem& problem, const ConstTensor& tensor) {
  return with_storage_of<A>(problem.dtype,
                            [&]<class T>() { return tile_source<T, A>(problem, tensor); });
}
template <class A>
TileResult<A> values(const Pool2dProblem& problem, const MutableTensor& tensor) {
  return with_storage_of<A>(problem.dtype,
                            [&]<class T>() { return tile_result<T, A>(problem, tensor); });
}

// Positions inside a window.
template <class A>
TileSource<A> positions(const Pool2dProblem& problem, const ConstTensor& tensor) {
  return has_small_window(problem.shape) ? tile_source<uint8_t, A>(problem, tensor)
                                         : tile_source<int32_t, A>(problem, tensor);
}
template <class A>
TileResult<A> positions(const Pool2dProblem& problem, const MutableTensor& tensor) {
  return has_small_window(problem.shape) ? tile_result<uint8_t, A>(problem, tensor)
                                         : tile_result<int32_t, A>(problem, tensor);
}

}  // namespace cnnops::CNNOPS_TARGET
