// Samples to products' factors: t = B^T x B of every tile, channels in vectors.
//
// A strip of tiles is transformed along columns once, also where tiles overlap, and then along the
// rows of each tile. Sources whose channels are contiguous are read in place; others are transposed
// into a buffer first.
#pragma once

#include "runs.h"
#include "transpose.h"
#include "winograd_tiles.h"

namespace cnnops::CNNOPS_TARGET {

// A vector of zeros of any storage type.
alignas(64) inline constexpr char kZeros[64] = {};

// lanes<float> channels of `count` neighbouring samples, to[sample][lane]; channels from `channels`
// on are zero.
template <class T>
void gather_lanes(const T* from, int64_t sample_stride, int64_t channel_stride, int64_t channels,
                  int64_t count, float* to) {
  constexpr int64_t kLanes = lanes<float>;
  if (sample_stride != 1) {
    for (int64_t i = 0; i < count; ++i, to += kLanes, from += sample_stride) {
      load_run(from, channel_stride, to, channels);
      fill_run(to + channels, 0.f, kLanes - channels);
    }
    return;
  }
  int64_t i = 0;
  for (; i < count && count - i > 1; i += kLanes, to += kLanes * kLanes, from += kLanes) {
    const int64_t columns = smaller(kLanes, count - i);
    Vec<float> block[kLanes];
#pragma GCC unroll 16
    for (int64_t c = 0; c < kLanes; ++c) {
      const T* row = from + c * channel_stride;
      block[c] = c >= channels       ? Vec<float>{}
                 : columns == kLanes ? load(row)
                                     : load_partial(row, columns);
    }
    transpose<float>(block);
    for (int64_t j = 0; j < columns; ++j) store(to + j * kLanes, block[j]);
  }
  if (i < count) {
    Vec<float> last{};
    for (int64_t c = 0; c < channels; ++c) last[c] = load_scalar(from + c * channel_stride);
    store(to, last);
  }
}

// One image's map of a source.
template <class T>
struct SourceMap {
  const T* data;
  Strides4 stride;
};

// Where a strip's factors go: factor (i, j) of a tile is at (i * kProducts + j) * factor_stride.
struct FactorPlace {
  float* data;
  int64_t factor_stride, tile_stride;
};

template <class Scheme, class T>
class SourceTransform {
 public:
  static constexpr int64_t kLanes = lanes<float>;

  // Scratch memory for strips of `tiles` tiles.
  SourceTransform(int64_t tiles, Arena& arena)
      : columns_((tiles - 1) * Scheme::kSourceStep + Scheme::kSamples),
        gathered_(arena.take<float>(Scheme::kSamples * columns_ * kLanes)),
        halfway_(arena.take<float>(Scheme::kProducts * columns_ * kLanes)) {}

  // `map` starts at the first of `channels` channels, at most kLanes.
  void run(const SourceMap<T>& map, int64_t channels, const TileGrid& grid, const TileStrip& strip,
           const FactorPlace& to) const {
    const int64_t columns = (strip.tiles - 1) * Scheme::kSourceStep + Scheme::kSamples;
    const int64_t y = grid.h.source_first + strip.row * grid.h.source_step;
    const int64_t x = grid.w.source_first + strip.first * grid.w.source_step;
    const Range rows = inside(Scheme::kSamples, 1, y, grid.h.source);
    const Range inner = inside(columns, 1, x, grid.w.source);
    const T* first = map.data + y * map.stride.h + (x + inner.first) * map.stride.w;
    clear(0, inner.first);
    if (map.stride.c == 1 && channels == kLanes) {
      transform_columns(first, map.stride.h, map.stride.w, rows, inner);
    } else {
      const int64_t row_size = columns_ * kLanes, count = inner.last - inner.first;
      for (int64_t r = rows.first; r < rows.last; ++r) {
        gather_lanes(first + r * map.stride.h, map.stride.w, map.stride.c, channels, count,
                     gathered_ + r * row_size);
      }
      transform_columns(static_cast<const float*>(gathered_), row_size, kLanes, rows, inner);
    }
    clear(inner.last, columns);
    for (int64_t t = 0; t < strip.tiles; ++t) {
      transform_rows(halfway_ + t * Scheme::kSourceStep * kLanes, to.data + t * to.tile_stride,
                     to.factor_stride);
    }
  }

 private:
  void clear(int64_t first, int64_t last) const {
    for (int i = 0; i < Scheme::kProducts; ++i) {
      fill_run(halfway_ + (i * columns_ + first) * kLanes, 0.f, (last - first) * kLanes);
    }
  }

  // Rows outside of `rows` are zero.
  template <class E>
  void transform_columns(const E* from, int64_t row_stride, int64_t column_stride,
                         const Range& rows, const Range& columns) const {
    const E* row[Scheme::kSamples];
    int64_t step[Scheme::kSamples];
    for (int r = 0; r < Scheme::kSamples; ++r) {
      const bool is_inside = r >= rows.first && r < rows.last;
      row[r] = is_inside ? from + r * row_stride : reinterpret_cast<const E*>(kZeros);
      step[r] = is_inside ? column_stride : 0;
    }
    for (int64_t c = columns.first; c < columns.last; ++c) {
      WinogradVector x[Scheme::kSamples], t[Scheme::kProducts];
#pragma GCC unroll 16
      for (int r = 0; r < Scheme::kSamples; ++r) {
        x[r] = load(row[r]);
        row[r] += step[r];
      }
      Scheme::source(x, t);
#pragma GCC unroll 16
      for (int i = 0; i < Scheme::kProducts; ++i) {
        store(halfway_ + (i * columns_ + c) * kLanes, t[i]);
      }
    }
  }

  void transform_rows(const float* from, float* to, int64_t factor_stride) const {
    for (int i = 0; i < Scheme::kProducts; ++i, from += columns_ * kLanes) {
      WinogradVector x[Scheme::kSamples], t[Scheme::kProducts];
#pragma GCC unroll 16
      for (int c = 0; c < Scheme::kSamples; ++c) x[c] = load(from + c * kLanes);
      Scheme::source(x, t);
#pragma GCC unroll 16
      for (int j = 0; j < Scheme::kProducts; ++j, to += factor_stride) store(to, t[j]);
    }
  }

  int64_t columns_;
  float* gathered_;  // [row][column][lane]
  float* halfway_;   // [product][column][lane]
};

}  // namespace cnnops::CNNOPS_TARGET
