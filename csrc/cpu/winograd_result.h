// Products to results: y = A^T M A of every tile plus the bias, channels in vectors.
#pragma once

#include "runs.h"
#include "transpose.h"
#include "winograd_tiles.h"

namespace cnnops::CNNOPS_TARGET {

// The inverse of gather_lanes: `channels` channels of `count` neighbouring samples.
template <class T>
void scatter_lanes(const float* from, T* to, int64_t sample_stride, int64_t channel_stride,
                   int64_t channels, int64_t count) {
  constexpr int64_t kLanes = lanes<float>;
  if (sample_stride != 1) {
    for (int64_t i = 0; i < count; ++i, from += kLanes, to += sample_stride) {
      store_run(from, to, channel_stride, channels);
    }
    return;
  }
  for (int64_t i = 0; i < count; i += kLanes, from += kLanes * kLanes, to += kLanes) {
    const int64_t columns = smaller(kLanes, count - i);
    Vec<float> block[kLanes];
#pragma GCC unroll 16
    for (int64_t j = 0; j < kLanes; ++j) {
      block[j] = j < columns ? load(from + j * kLanes) : Vec<float>{};
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

// One image's map of a result.
template <class T>
struct ResultMap {
  T* data;
  Strides4 stride;
};

// Where a strip's products are: product (i, j) of a tile is at (i * kProducts + j) * product_stride.
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
        results_(arena.take<float>(Scheme::kResults * columns_ * kLanes)) {}

  // `map` starts at the first of `channels` channels, at most kLanes.
  void run(const ProductPlace& from, WinogradVector bias, const TileGrid& grid,
           const TileStrip& strip, const ResultMap<T>& map, int64_t channels) const {
    const int64_t y = grid.h.result_first + strip.row * grid.h.result_step;
    const int64_t x = grid.w.result_first + strip.first * grid.w.result_step;
    const Range rows = inside(Scheme::kResults, 1, y, grid.h.result);
    T* to = map.data + y * map.stride.h + x * map.stride.w;
    if (map.stride.c == 1 && channels == kLanes) {
      for (int64_t t = 0; t < strip.tiles; ++t) {
        const int64_t column = t * Scheme::kResults;
        const Range columns = inside(Scheme::kResults, 1, x + column, grid.w.result);
        transform(from.data + t * from.tile_stride, from.product_stride, bias, rows, columns,
                  to + column * map.stride.w, map.stride.h, map.stride.w);
      }
      return;
    }
    const int64_t row_size = columns_ * kLanes;
    for (int64_t t = 0; t < strip.tiles; ++t) {
      transform(from.data + t * from.tile_stride, from.product_stride, bias, rows,
                {0, Scheme::kResults}, results_ + t * Scheme::kResults * kLanes, row_size, kLanes);
    }
    const Range columns = inside(strip.tiles * Scheme::kResults, 1, x, grid.w.result);
    for (int64_t r = rows.first; r < rows.last; ++r) {
      scatter_lanes(results_ + r * row_size + columns.first * kLanes,
                    to + r * map.stride.h + columns.first * map.stride.w, map.stride.w,
                    map.stride.c, channels, columns.last - columns.first);
    }
  }

 private:
  template <class E>
  static void transform(const float* products, int64_t product_stride, WinogradVector bias,
                        const Range& rows, const Range& columns, E* to, int64_t row_stride,
                        int64_t column_stride) {
    WinogradVector halfway[Scheme::kProducts][Scheme::kResults];
    for (int i = 0; i < Scheme::kProducts; ++i) {
      WinogradVector m[Scheme::kProducts];
#pragma GCC unroll 16
      for (int j = 0; j < Scheme::kProducts; ++j, products += product_stride) m[j] = load(products);
      Scheme::result(m, halfway[i]);
    }
    for (int64_t c = columns.first; c < columns.last; ++c) {
      WinogradVector m[Scheme::kProducts], y[Scheme::kResults];
#pragma GCC unroll 16
      for (int i = 0; i < Scheme::kProducts; ++i) m[i] = halfway[i][c];
      Scheme::result(m, y);
      E* column = to + c * column_stride;
#pragma GCC unroll 16
      for (int r = 0; r < Scheme::kResults; ++r) {
        if (r >= rows.first && r < rows.last) store(column + r * row_stride, y[r] + bias);
      }
    }
  }

  int64_t columns_;
  float* results_;  // [row][column][lane]
};

}  // namespace cnnops::CNNOPS_TARGET
