// Register tiles of a depthwise correlation with channels in vectors: a few pixels by a vector of
// channels, all channels of these pixels one after the other.
#pragma once

#include "conv2d_depthwise_square.h"
#include "operand_lanes.h"

namespace cnnops::CNNOPS_TARGET {

// Steps are in elements.
template <class T>
struct DepthwiseTile {
  using A = Accumulate<T>;

  Range rows, columns;  // of the samples that the tile reads: those inside the source
  int64_t channels;
  const T* source;                   // of the first pixel's first tap, inside or not
  int64_t row_step, tap_step;        // from tap row to tap row, from tap to tap
  int64_t row_stride, pixel_stride;  // from the samples of a pixel to those of the next one
  int64_t source_channel;
  const A *factors, *bias;
  int64_t factor_row_step, factor_step;  // from tap row to tap row, from tap to tap
  T* result;
  int64_t result_row_step, result_step;  // from pixel to pixel
  int64_t result_channel;

  bool has_adjacent_channels() const { return source_channel == 1 && result_channel == 1; }

  CNNOPS_INLINE void advance(int64_t rows, int64_t pixels) {
    source += rows * row_stride + pixels * pixel_stride;
    result += rows * result_row_step + pixels * result_step;
  }
};

// Some channels of one pixel, from channel c on: the last ones, or such that are not adjacent.
template <class T>
__attribute__((noinline)) void fold_rest(const DepthwiseTile<T>& tile, int64_t c) {
  using A = Accumulate<T>;
  const Values<T> source{tile.source, {}};
  for (; c < tile.channels; c += lanes<A>) {
    const int64_t count = smaller(lanes<A>, tile.channels - c);
    Vec<A> sum = load(tile.bias + c);
    for (int64_t t = tile.rows.first; t < tile.rows.last; ++t) {
      for (int64_t s = tile.columns.first; s < tile.columns.last; ++s) {
        const A* factor = tile.factors + t * tile.factor_row_step + s * tile.factor_step + c;
        const int64_t at = t * tile.row_step + s * tile.tap_step + c * tile.source_channel;
        sum = multiply_add<A>(source.fetch(at, tile.source_channel, count), load(factor), sum);
      }
    }
    A sums[lanes<A>];
    store(sums, sum);
    store_run(sums, tile.result + c * tile.result_channel, tile.result_channel, count);
  }
}

// ---- pixels of a row that have the same taps inside the source ----

// kTaps taps of a row, whose samples pixels share kStep taps apart; any taps if it is 0.
template <int kCount, int kTaps, int kStep, class T>
CNNOPS_INLINE void fold_pixels_of(const DepthwiseTile<T>& tile, int64_t c) {
  using A = Accumulate<T>;
  Vec<A> sums[kCount];
  for (int i = 0; i < kCount; ++i) sums[i] = load(tile.bias + c);
  for (int64_t t = tile.rows.first; t < tile.rows.last; ++t) {
    const T* from = tile.source + t * tile.row_step + c;
    const A* factor = tile.factors + t * tile.factor_row_step + c;
    if constexpr (kTaps > 0) {
      Vec<A> taps[kTaps];
      for (int s = 0; s < kTaps; ++s) taps[s] = load(factor + s * tile.factor_step);
#pragma GCC unroll 32
      for (int x = 0; x < (kCount - 1) * kStep + kTaps; ++x, from += tile.tap_step) {
        const Vec<A> sample = load(from);
#pragma GCC unroll 32
        for (int i = 0; i < kCount; ++i) {
          const int s = x - i * kStep;
          if (s >= 0 && s < kTaps) sums[i] = multiply_add<A>(sample, taps[s], sums[i]);
        }
      }
    } else {
      for (int64_t s = tile.columns.first; s < tile.columns.last; ++s) {
        const Vec<A> tap = load(factor + s * tile.factor_step);
        for (int i = 0; i < kCount; ++i) {
          const Vec<A> sample = load(from + s * tile.tap_step + i * tile.pixel_stride);
          sums[i] = multiply_add<A>(sample, tap, sums[i]);
        }
      }
    }
  }
  for (int i = 0; i < kCount; ++i) store(tile.result + i * tile.result_step + c, sums[i]);
}

template <int kCount, int kTaps, int kStep, class T>
void fold_pixels(const DepthwiseTile<T>& tile) {
  constexpr int64_t kLanes = lanes<Accumulate<T>>;
  const int64_t whole = tile.has_adjacent_channels() ? tile.channels / kLanes * kLanes : 0;
  for (int64_t c = 0; c < whole; c += kLanes) fold_pixels_of<kCount, kTaps, kStep>(tile, c);
  if (whole == tile.channels) return;
  DepthwiseTile<T> pixel = tile;
  for (int i = 0; i < kCount; ++i, pixel.advance(0, 1)) fold_rest(pixel, whole);
}

// ---- one or two rows of pixels of a square filter ----

// What a tile keeps in registers.
template <class A, int kRows, int kCount>
struct SquareRegisters {
  Vec<A> taps[3][3], sums[kRows][kCount];
};

// Adds the products of row kY of a tile's samples.
template <int kStep, int kY, class T, class A, int kRows, int kCount>
CNNOPS_INLINE void add_samples(const DepthwiseTile<T>& tile, int64_t c,
                               SquareRegisters<A, kRows, kCount>& registers) {
  if (!tile.rows.has(kY)) return;
  visit_square<kStep, kY, kRows, kCount>(
      tile.source + kY * tile.row_step + c, tile.tap_step, tile.columns, kPage / sizeof(T),
      [&](Vec<A> sample, int r, int i, int t, int s) __attribute__((always_inline)) {
        Vec<A>& sum = registers.sums[r][i];
        sum = multiply_add<A>(sample, registers.taps[t][s], sum);
      });
}

template <int kStep, class T, class A, int kRows, int kCount, int... kY>
CNNOPS_INLINE void add_rows(const DepthwiseTile<T>& tile, int64_t c,
                            SquareRegisters<A, kRows, kCount>& registers,
                            std::integer_sequence<int, kY...>) {
  (add_samples<kStep, kY>(tile, c, registers), ...);
}

template <int kStep, int kRows, int kCount, class T>
CNNOPS_INLINE void fold_square_of(const DepthwiseTile<T>& tile, int64_t c) {
  using A = Accumulate<T>;
  using Rows = std::make_integer_sequence<int, square_samples(kRows, kStep)>;
  SquareRegisters<A, kRows, kCount> registers;
#pragma GCC unroll 16
  for (int t = 0; t < 3; ++t) {
#pragma GCC unroll 16
    for (int s = 0; s < 3; ++s) {
      registers.taps[t][s] =
          load(tile.factors + t * tile.factor_row_step + s * tile.factor_step + c);
    }
  }
  const Vec<A> bias = load(tile.bias + c);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < kCount; ++i) {
      // With a stride most of what moves is read.
      if constexpr (kStep == 1)
        fetch_page_ahead_to_write(tile.result + r * tile.result_row_step + i * tile.result_step +
                                  c);
      registers.sums[r][i] = bias;
    }
  }
  add_rows<kStep>(tile, c, registers, Rows{});
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < kCount; ++i) {
      store(tile.result + r * tile.result_row_step + i * tile.result_step + c,
            registers.sums[r][i]);
    }
  }
}

// A pixel of each row, any of whose taps may lie outside along the row.
template <int kStep, int kRows, class T>
CNNOPS_INLINE void fold_square_edge_of(const DepthwiseTile<T>& tile, int64_t c) {
  using A = Accumulate<T>;
  Vec<A> sums[kRows];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) sums[r] = load(tile.bias + c);
  for (int64_t y = tile.rows.first; y < tile.rows.last; ++y) {
    for (int64_t s = tile.columns.first; s < tile.columns.last; ++s) {
      const Vec<A> sample = load(tile.source + y * tile.row_step + s * tile.tap_step + c);
      const A* factor = tile.factors + s * tile.factor_step + c;
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const int64_t t = y - r * kStep;
        if (t >= 0 && t <= 2)
          sums[r] = multiply_add<A>(sample, load(factor + t * tile.factor_row_step), sums[r]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) store(tile.result + r * tile.result_row_step + c, sums[r]);
}

// The taps, from sample `first` on, that are among the samples of a tile.
CNNOPS_INLINE Range taps_of_pixel(Range samples, int64_t first) {
  return {larger<int64_t>(0, samples.first - first), smaller<int64_t>(3, samples.last - first)};
}

// The last channels, or such that are not adjacent, of kRows rows of pixels.
template <int kStep, int kRows, int kCount, class T>
CNNOPS_INLINE void fold_square_rest(const DepthwiseTile<T>& tile, int64_t c) {
  for (int r = 0; r < kRows; ++r) {
    for (int i = 0; i < kCount; ++i) {
      DepthwiseTile<T> pixel = tile;
      pixel.advance(r, i);
      pixel.rows = taps_of_pixel(tile.rows, r * kStep);
      pixel.columns = taps_of_pixel(tile.columns, i * kStep);
      fold_rest(pixel, c);
    }
  }
}

template <int kStep, int kRows, int kCount, class T>
void fold_square(const DepthwiseTile<T>& tile) {
  constexpr int64_t kLanes = lanes<Accumulate<T>>;
  const int64_t whole = tile.has_adjacent_channels() ? tile.channels / kLanes * kLanes : 0;
  for (int64_t c = 0; c < whole; c += kLanes) fold_square_of<kStep, kRows, kCount>(tile, c);
  if (whole < tile.channels) fold_square_rest<kStep, kRows, kCount>(tile, whole);
}

template <int kStep, int kRows, class T>
void fold_square_edge(const DepthwiseTile<T>& tile) {
  constexpr int64_t kLanes = lanes<Accumulate<T>>;
  const int64_t whole = tile.has_adjacent_channels() ? tile.channels / kLanes * kLanes : 0;
  for (int64_t c = 0; c < whole; c += kLanes) fold_square_edge_of<kStep, kRows>(tile, c);
  if (whole < tile.channels) fold_square_rest<kStep, kRows, 1>(tile, whole);
}

template <class T>
using TileFold = void (*)(const DepthwiseTile<T>&);

// The calls for rows of pixels, kStep taps apart.
template <class T>
struct SquareFolds {
  TileFold<T> edge;
  TileFold<T> inner[kSquarePixels];  // by pixels - 1
};
template <int kStep, int kRows, class T,
          class Pixels = std::make_integer_sequence<int, kSquarePixels>>
inline constexpr std::nullptr_t kSquareFolds = nullptr;
template <int kStep, int kRows, class T, int... kPixels>
inline constexpr SquareFolds<T>
    kSquareFolds<kStep, kRows, T, std::integer_sequence<int, kPixels...>> = {
        fold_square_edge<kStep, kRows, T>, {fold_square<kStep, kRows, kPixels + 1, T>...}};

template <class T>
CNNOPS_INLINE const SquareFolds<T>& square_folds(int64_t step, int64_t rows) {
  if (step == 1) return rows == 1 ? kSquareFolds<1, 1, T> : kSquareFolds<1, 2, T>;
  return rows == 1 ? kSquareFolds<2, 1, T> : kSquareFolds<2, 2, T>;
}

}  // namespace cnnops::CNNOPS_TARGET
