// Samples to products' factors: t = B^T x B of every tile, channels in vectors.
//
// A strip of tiles is transformed along columns once, also where tiles overlap, and then along the
// rows of each tile, for the channels of a cache line at a time. Sources whose channels are contiguous
// are read in place; others are transposed into a buffer first.
#pragma once

#include "runs.h"
#include "transpose.h"
#include "winograd_block.h"

namespace cnnops::CNNOPS_TARGET {

// Floats of a cache line.
inline constexpr int64_t kLineChannels = 16;
static_assert(kLineChannels % lanes<float> == 0);

// Columns of a source that are fetched before they are read: where channels are contiguous, a strip
// reads a line a column.
inline constexpr int64_t kFetchedColumns = 8;

// A line of zeros of any storage type.
alignas(64) inline constexpr char kZeros[64] = {};

// lanes<float> channels of `count` neighbouring samples, to[sample * to_row + lane]; channels from
// `channels` on are zero.
template <class T>
void gather_lanes(const T* from, int64_t sample_stride, int64_t channel_stride, int64_t channels,
                  int64_t count, float* to, int64_t to_row) {
  constexpr int64_t kLanes = lanes<float>;
  if (sample_stride != 1) {
    for (int64_t i = 0; i < count; ++i, to += to_row, from += sample_stride) {
      load_run(from, channel_stride, to, channels);
      fill_run(to + channels, 0.f, kLanes - channels);
    }
    return;
  }
  int64_t i = 0;
  for (; count - i > 1; i += kLanes, to += kLanes * to_row, from += kLanes) {
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
    for (int64_t j = 0; j < columns; ++j) store(to + j * to_row, block[j]);
  }
  if (i < count) {
    Vec<float> last{};
    for (int64_t c = 0; c < channels; ++c) last[c] = load_scalar(from + c * channel_stride);
    store(to, last);
  }
}

// Fetches the lines of `count` neighbouring samples of some channels.
template <class T>
void fetch_samples(const T* from, int64_t channel_stride, int64_t channels, int64_t count) {
  constexpr int64_t kLine = 64 / int64_t(sizeof(T));
  for (int64_t c = 0; c < channels; ++c, from += channel_stride) {
    for (int64_t i = 0; i < count; i += kLine) __builtin_prefetch(from + i);
  }
}

// One image's map of a source.
template <class T>
struct SourceMap {
  const T* data;
  Strides4 stride;
};

// Where a block's factors go: factor (i, j) of a tile is at (i * kProducts + j) * factor_stride past its
// slot.
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
        gathered_(arena.take<float>(Scheme::kSamples * columns_ * kLineChannels)),
        halfway_(arena.take<float>(Scheme::kProducts * columns_ * kLineChannels)) {}

  // `map` starts at the first of `channels` channels, at most kLineChannels.
  void run(const SourceMap<T>& map, int64_t channels, const TileGrid& grid, const TileStrip& strip,
           const FactorPlace& to) const {
    if (strip.is_low) {
      run_strip<true>(map, channels, grid, strip, to);
    } else {
      run_strip<false>(map, channels, grid, strip, to);
    }
  }

 private:
  template <bool kIsLow>
  void run_strip(const SourceMap<T>& map, int64_t channels, const TileGrid& grid,
                 const TileStrip& strip, const FactorPlace& to) const {
    const int64_t y = grid.h.start(grid.h.source, strip.row);
    const int64_t x = grid.w.start(grid.w.source, strip.first);
    const int64_t last = strip.first + strip.tiles - 1;
    const int64_t columns =
        grid.w.start(grid.w.source, last) - x + count_samples<Scheme>(strip.whole < strip.tiles);
    const Range rows = inside(count_samples<Scheme>(kIsLow), 1, y, grid.h.source.size);
    const Range inner = inside(columns, 1, x, grid.w.source.size);
    const int64_t vectors = divide_up(channels, kLanes);
    const int64_t first = y * map.stride.h + (x + inner.first) * map.stride.w;
    clear({0, inner.first});
    if (map.stride.c == 1 && channels == vectors * kLanes) {
      transform_columns<kIsLow, kFetchedColumns>(map.data, first, map.stride.h, map.stride.w, rows,
                                                 inner, vectors);
    } else {
      gather(map, first, rows, inner.last - inner.first, channels);
      transform_columns<kIsLow, 0>(gathered_, 0, columns_ * kLineChannels, kLineChannels, rows,
                                   inner, vectors);
    }
    clear({inner.last, columns});
    strip.for_each_tile([&]<class IsNarrow>(int64_t t, int64_t slot, IsNarrow) {
      const int64_t column = grid.w.start(grid.w.source, strip.first + t) - x;
      transform_rows<kIsLow, IsNarrow::value>(halfway_ + column * kLineChannels,
                                              to.data + slot * to.tile_stride, to.factor_stride,
                                              vectors);
    });
  }

  void clear(const Range& columns) const {
    for (int i = 0; i < Scheme::kProducts; ++i) {
      fill_run(halfway_ + (i * columns_ + columns.first) * kLineChannels, 0.f,
               (columns.last - columns.first) * kLineChannels);
    }
  }

  // The strip below reads the rows that are fetched.
  void gather(const SourceMap<T>& map, int64_t first, const Range& rows, int64_t columns,
              int64_t channels) const {
    for (int64_t r = rows.first; r < rows.last; ++r) {
      const T* row = map.data + first + r * map.stride.h;
      fetch_samples(row + Scheme::kSourceStep * map.stride.h, map.stride.c, channels, columns);
      for (int64_t c = 0; c < channels; c += kLanes) {
        gather_lanes(row + c * map.stride.c, map.stride.w, map.stride.c,
                     smaller(kLanes, channels - c), columns,
                     gathered_ + r * columns_ * kLineChannels + c, kLineChannels);
      }
    }
  }

  // Rows outside of `rows` are zero. Columns so far ahead are fetched.
  template <bool kIsLow, int64_t kAhead, class E>
  void transform_columns(const E* data, int64_t first, int64_t row_stride, int64_t column_stride,
                         const Range& rows, const Range& columns, int64_t vectors) const {
    constexpr int kSamples = count_samples<Scheme>(kIsLow);
    const E* row[kSamples];
    int64_t step[kSamples];
    for (int r = 0; r < kSamples; ++r) {
      const bool is_inside = r >= rows.first && r < rows.last;
      row[r] = is_inside ? data + first + r * row_stride : reinterpret_cast<const E*>(kZeros);
      step[r] = is_inside ? column_stride : 0;
    }
    for (int64_t c = columns.first; c < columns.last; ++c) {
      if constexpr (kAhead > 0) {
#pragma GCC unroll 16
        for (int r = 0; r < kSamples; ++r) __builtin_prefetch(row[r] + kAhead * step[r]);
      }
      for (int64_t v = 0; v < vectors; ++v) {
        WinogradVector x[Scheme::kSamples] = {}, t[Scheme::kProducts];
#pragma GCC unroll 16
        for (int r = 0; r < kSamples; ++r) x[r] = load(row[r] + v * kLanes);
        Scheme::source(x, t);
#pragma GCC unroll 16
        for (int i = 0; i < Scheme::kProducts; ++i) {
          if (!has_product<Scheme>(i, kIsLow)) continue;
          store(halfway_ + (i * columns_ + c) * kLineChannels + v * kLanes, t[i]);
        }
      }
#pragma GCC unroll 16
      for (int r = 0; r < kSamples; ++r) row[r] += step[r];
    }
  }

  template <bool kIsLow, bool kIsNarrow>
  void transform_rows(const float* from, float* to, int64_t factor_stride, int64_t vectors) const {
    constexpr int kSamples = count_samples<Scheme>(kIsNarrow);
    for (int i = 0; i < Scheme::kProducts; ++i, from += columns_ * kLineChannels) {
      if (!has_product<Scheme>(i, kIsLow)) continue;
      float* const row = to + i * Scheme::kProducts * factor_stride;
      for (int64_t v = 0; v < vectors; ++v) {
        WinogradVector x[Scheme::kSamples] = {}, t[Scheme::kProducts];
#pragma GCC unroll 16
        for (int c = 0; c < kSamples; ++c) x[c] = load(from + c * kLineChannels + v * kLanes);
        Scheme::source(x, t);
        float* factor = row + v * kLanes;
#pragma GCC unroll 16
        for (int j = 0; j < Scheme::kProducts; ++j, factor += factor_stride) {
          if (has_product<Scheme>(j, kIsNarrow)) store(factor, t[j]);
        }
      }
    }
  }

  int64_t columns_;
  float* gathered_;  // [row][column][channel of a line]
  float* halfway_;   // [product][column][channel of a line]
};

}  // namespace cnnops::CNNOPS_TARGET
