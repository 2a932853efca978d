// Products to results: y = A^T M A of every tile plus the bias, channels in vectors.
#pragma once

#include "winograd_source.h"

namespace cnnops::CNNOPS_TARGET {

// The inverse of gather_lanes: `channels` channels of `count` neighbouring samples.
template <class T>
void scatter_lanes(const float* from, int64_t from_row, T* to, int64_t sample_stride,
                   int64_t channel_stride, int64_t channels, int64_t count) {
  constexpr int64_t kLanes = lanes<float>;
  if (sample_stride != 1) {
    for (int64_t i = 0; i < count; ++i, from += from_row, to += sample_stride) {
      store_run(from, to, channel_stride, channels);
    }
    return;
  }
  for (int64_t i = 0; i < count; i += kLanes, from += kLanes * from_row, to += kLanes) {
    const int64_t columns = smaller(kLanes, count - i);
    Vec<float> block[kLanes];
#pragma GCC unroll 16
    for (int64_t j = 0; j < kLanes; ++j) {
      block[j] = j < columns ? load(from + j * from_row) : Vec<float>{};
    }
    transpose<float>(block);
    for (int64_t c = 0; c < channels; ++c) {
      if (columns == kLanes) {
        store(to + c * channel_stride, block[c]);
      } else {
        store_partial(to + c * channel_stride, block[c], columns);
      }
    }
  }
}

// Tiles whose results' lines are fetched before they are written, where channels are contiguous.
inline constexpr int64_t kFetchedTilesOfResults = 2;

// One image's map of a result.
template <class T>
struct ResultMap {
  T* data;
  Strides4 stride;
};

// Where a block's products are: product (i, j) of a tile is at (i * kProducts + j) * product_stride past
// its slot.
struct ProductPlace {
  const float* data;
  int64_t product_stride, tile_stride;
};

template <class Scheme, class T>
class ResultTransform {
 public:
  static constexpr int64_t kLanes = lanes<float>;

  // Scratch memory for strips of `tiles` tiles.
  ResultTransform(int64_t tiles, Arena& arena)
      : columns_(tiles * Scheme::kResults),
        results_(arena.take<float>(Scheme::kResults * columns_ * kLineChannels)) {}

  // `map` and `bias` start at the first of `channels` channels, at most kLineChannels; a bias may be
  // null.
  void run(const ProductPlace& from, const T* bias, const TileGrid& grid, const TileStrip& strip,
           const ResultMap<T>& map, int64_t channels) const {
    const int64_t y = grid.h.start(grid.h.result, strip.row);
    const int64_t x = grid.w.start(grid.w.result, strip.first);
    const int64_t end = grid.w.start(grid.w.result, strip.first + strip.tiles);
    const Range rows = inside(count_results(strip.is_low), 1, y, grid.h.result.size);
    const Range columns = inside(end - x, 1, x, grid.w.result.size);
    const int64_t first = y * map.stride.h + x * map.stride.w;
    if (map.stride.c == 1 && channels % kLanes == 0) {
      transform<true>(from, bias, channels, grid.w, strip, rows, columns,
                      Results<T>{map.data, first, map.stride.h, map.stride.w});
      return;
    }
    const int64_t row_size = columns_ * kLineChannels, count = columns.last - columns.first;
    T* const corner = map.data + first + columns.first * map.stride.w;
    for (int64_t r = rows.first; r < rows.last; ++r)
      fetch_samples(corner + r * map.stride.h, map.stride.c, channels, count);
    transform<false>(from, bias, channels, grid.w, strip, rows, columns,
                     Results<float>{results_, 0, row_size, kLineChannels});
    for (int64_t r = rows.first; r < rows.last; ++r) {
      for (int64_t c = 0; c < channels; c += kLanes) {
        scatter_lanes(results_ + r * row_size + columns.first * kLineChannels + c, kLineChannels,
                      corner + r * map.stride.h + c * map.stride.c, map.stride.w, map.stride.c,
                      smaller(kLanes, channels - c), count);
      }
    }
  }

 private:
  // Result (r, c) of a strip or tile is at data[first + r * row_stride + c * column_stride].
  template <class E>
  struct Results {
    E* data;
    int64_t first, row_stride, column_stride;
  };

  // Rows or columns of a tile.
  static constexpr int64_t count_results(bool is_short) {
    return Scheme::kResults - (is_short ? kResultPart<Scheme> : 0);
  }

  // Fetches a line of each result some columns behind a tile's.
  template <class E>
  static void fetch_results(const Range& rows, const Range& columns, const Results<E>& tile) {
    constexpr int64_t kBehind = kFetchedTilesOfResults * Scheme::kResults;
    for (int64_t r = rows.first; r < rows.last; ++r) {
      const E* row = tile.data + tile.first + r * tile.row_stride;
      for (int64_t c = columns.first; c < columns.last; ++c)
        __builtin_prefetch(row + (c + kBehind) * tile.column_stride, 1);
    }
  }

  // The rows and columns that lie in the result.
  template <bool kFetches, class E>
  static void transform(const ProductPlace& from, const T* bias, int64_t channels,
                        const TileAxis& axis, const TileStrip& strip, const Range& rows,
                        const Range& columns, const Results<E>& to) {
    const int64_t x = axis.start(axis.result, strip.first);
    strip.for_each_tile([&]<class IsNarrow>(int64_t t, int64_t slot, IsNarrow) {
      const int64_t start = axis.start(axis.result, strip.first + t) - x;
      const Range inner{larger<int64_t>(0, columns.first - start),
                        smaller(count_results(IsNarrow::value), columns.last - start)};
      const Results<E> first{to.data, to.first + start * to.column_stride, to.row_stride,
                             to.column_stride};
      if constexpr (kFetches) fetch_results(rows, inner, first);
      for (int64_t c = 0; c < channels; c += kLanes) {
        const WinogradVector vector = bias == nullptr
                                          ? WinogradVector{}
                                          : load_partial(bias + c, smaller(kLanes, channels - c));
        const float* products = from.data + slot * from.tile_stride + c;
        const Results<E> tile{to.data, first.first + c, to.row_stride, to.column_stride};
        if (strip.is_low) {
          transform_tile<true, IsNarrow::value>(products, from.product_stride, vector, rows, inner,
                                                tile);
        } else {
          transform_tile<false, IsNarrow::value>(products, from.product_stride, vector, rows, inner,
                                                 tile);
        }
      }
    });
  }

  template <bool kIsLow, bool kIsNarrow, class E>
  static void transform_tile(const float* products, int64_t product_stride, WinogradVector bias,
                             const Range& rows, const Range& columns, const Results<E>& to) {
    constexpr int64_t kRows = count_results(kIsLow);
    WinogradVector halfway[Scheme::kProducts][Scheme::kResults];
    for (int i = 0; i < Scheme::kProducts; ++i) {
      if (!has_product<Scheme>(i, kIsLow)) continue;
      const float* product = products + i * Scheme::kProducts * product_stride;
      WinogradVector m[Scheme::kProducts] = {};
#pragma GCC unroll 16
      for (int j = 0; j < Scheme::kProducts; ++j, product += product_stride) {
        if (has_product<Scheme>(j, kIsNarrow)) m[j] = load(product);
      }
      Scheme::result(m, halfway[i]);
    }
    for (int64_t c = columns.first; c < columns.last; ++c) {
      WinogradVector m[Scheme::kProducts], y[Scheme::kResults];
#pragma GCC unroll 16
      for (int i = 0; i < Scheme::kProducts; ++i) {
        m[i] = has_product<Scheme>(i, kIsLow) ? halfway[i][c] : WinogradVector{};
      }
      Scheme::result(m, y);
      const int64_t column = to.first + c * to.column_stride;
#pragma GCC unroll 16
      for (int64_t r = 0; r < kRows; ++r) {
        if (rows.has(r)) store(to.data + column + r * to.row_stride, y[r] + bias);
      }
    }
  }

  int64_t columns_;
  float* results_;  // [row][column][channel of a line]
};

}  // namespace cnnops::CNNOPS_TARGET
