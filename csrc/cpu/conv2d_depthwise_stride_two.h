// The gradient of a 3 x 3 filter and stride 2 with channels in vectors: a tile is a few places of a
// row by a vector of channels, and loads a sample once for all the results it enters.
#pragma once

#include "conv2d_depthwise_phase.h"
#include "conv2d_depthwise_rows.h"

namespace cnnops::CNNOPS_TARGET {

// Steps are in elements.
template <class T>
struct PlaceTile {
  Range rows, columns;  // of the samples that the tile reads: those inside the source
  int64_t channels;
  const T* source;  // of the first sample, inside or not
  int64_t row_step, column_step;
  const Accumulate<T>* factors;  // [row][column] of the filter, then the bias
  int64_t factor_step;
  T* result;
  int64_t result_row_step, result_step;
  int64_t result_rows, result_columns;  // those inside the map

  void advance(int64_t places) {
    source += places * column_step;
    result += 2 * places * result_step;
    result_columns -= 2 * places;
  }
};

template <class P, class A, int kCount>
struct PlaceRegisters {
  Vec<A> taps[3][3], sums[2][2 * kCount];
};

// Adds the products of row kY of a tile's samples.
template <class P, int kY, class T, class A, int kCount>
CNNOPS_INLINE void add_place_samples(const PlaceTile<T>& tile, int64_t c,
                                     PlaceRegisters<P, A, kCount>& registers) {
  if (!tile.rows.has(kY)) return;
  constexpr int kSamples = kCount + P::kSamples - 1, kSeen = P::kSamples - 1;
  visit_samples<kSamples, (kY >= kSeen ? kSeen : kSamples)>(
      tile.source + kY * tile.row_step + c, tile.column_step, tile.columns, kPage / sizeof(T),
      [&](int x, Vec<A> sample) __attribute__((always_inline)) {
#pragma GCC unroll 2
        for (int phase = 0; phase < 2; ++phase) {
          const int r = P::tap(phase, kY);
          if (r < 0) continue;
#pragma GCC unroll 16
          for (int i = 0; i < 2 * kCount; ++i) {
            const int index = x - i / 2;
            const int s = index >= 0 && index < P::kSamples ? P::tap(i % 2, index) : -1;
            Vec<A>& sum = registers.sums[phase][i];
            if (s >= 0) sum = multiply_add<A>(sample, registers.taps[r][s], sum);
          }
        }
      });
}

template <class P, int kCount, class T>
CNNOPS_INLINE void fold_places_of(const PlaceTile<T>& tile, int64_t c) {
  using A = Accumulate<T>;
  static_assert(P::kSamples == 2);
  PlaceRegisters<P, A, kCount> registers;
#pragma GCC unroll 16
  for (int t = 0; t < 9; ++t)
    registers.taps[t / 3][t % 3] = load(tile.factors + t * tile.factor_step + c);
  const Vec<A> bias = load(tile.factors + 9 * tile.factor_step + c);
#pragma GCC unroll 16
  for (int i = 0; i < 2 * kCount; ++i) {
    T* const to = tile.result + i * tile.result_step + c;
    fetch_page_ahead_to_write(to);
    fetch_page_ahead_to_write(to + tile.result_row_step);
    registers.sums[0][i] = registers.sums[1][i] = bias;
  }
  add_place_samples<P, 0>(tile, c, registers);
  add_place_samples<P, 1>(tile, c, registers);
#pragma GCC unroll 2
  for (int phase = 0; phase < 2; ++phase) {
    if (phase == tile.result_rows) return;
    T* const to = tile.result + phase * tile.result_row_step + c;
#pragma GCC unroll 16
    for (int i = 0; i < 2 * kCount; ++i) {
      if (i < 2 * kCount - 1 || i < tile.result_columns)
        store(to + i * tile.result_step, registers.sums[phase][i]);
    }
  }
}

template <class P, int kCount, class T>
__attribute__((noinline)) void fold_places(const PlaceTile<T>& tile) {
  for (int64_t c = 0; c < tile.channels; c += lanes<Accumulate<T>>)
    fold_places_of<P, kCount>(tile, c);
}

// Rows of places, of whole vectors of adjacent channels.
template <class T, class P>
class StrideTwoRows {
 public:
  using A = Accumulate<T>;

  StrideTwoRows(const Conv2dProblem& problem, const Strides4& source_stride,
                const Strides4& result_stride, const ChannelFactors<A>& factors)
      : map_(problem.shape.input),
        lattice_{stride_two_axis<P>(window_grid(problem.shape).h),
                 stride_two_axis<P>(window_grid(problem.shape).w)},
        source_stride_(source_stride),
        result_stride_(result_stride),
        factors_(factors) {}

  int64_t count() const { return lattice_.h.count; }

  void fold(const ImageChannels<T>& image, Range rows) const {
    for (int64_t row = rows.first; row < rows.last; ++row) fold_row(image, row);
  }

 private:
  // Places of a tile: their sums, the filter and a sample are in registers.
  static constexpr int kPlaces = kRegisters == 32 ? 4 : 1;

  PlaceTile<T> tile(const ImageChannels<T>& image, int64_t row) const {
    const CorrelationAxis &h = lattice_.h, &w = lattice_.w;
    const Strides4 &from = source_stride_, &to = result_stride_;
    const int64_t y = row + h.offset, first = image.channels.first;
    return {.rows = inside(P::kSamples, 1, y, h.source),
            .columns = {0, 0},
            .channels = image.channels.last - first,
            .source = image.source + y * from.h + w.offset * from.w,
            .row_step = from.h,
            .column_step = from.w,
            .factors = factors_.of(0) + first,
            .factor_step = factors_.row(),
            .result = image.result + 2 * row * to.h,
            .result_row_step = to.h,
            .result_step = to.w,
            .result_rows = smaller<int64_t>(2, map_.h - 2 * row),
            .result_columns = map_.w};
  }

  void fold_row(const ImageChannels<T>& image, int64_t row) const {
    const CorrelationAxis& w = lattice_.w;
    // Places whose sample that enters both columns of results lies inside.
    const Range inner = inside(w.count, 1, w.offset - P::kFirst, w.source);
    PlaceTile<T> tile = this->tile(image, row);
    int64_t j = 0;
    const auto fold = [&]<int kCount>() {
      tile.columns = inside(kCount + P::kSamples - 1, 1, j + w.offset, w.source);
      fold_places<P, kCount>(tile);
      tile.advance(kCount);
      j += kCount;
    };
    while (j < inner.first) fold.template operator()<1>();
    while (j + kPlaces <= inner.last) fold.template operator()<kPlaces>();
    while (j < w.count) fold.template operator()<1>();
  }

  const Pair map_;
  const Correlation lattice_;
  const Strides4 source_stride_, result_stride_;
  const ChannelFactors<A> factors_;
};

// Calls visit(rows) with the rows that compute a problem.
template <class T, class Visit>
void visit_rows(const Conv2dProblem& problem, const Strides4& source_stride,
                const Strides4& result_stride, const ChannelFactors<Accumulate<T>>& factors,
                Visit visit) {
  const Conv2dShape& shape = problem.shape;
  if (is_stride_two_gradient(problem) && shape.kernel.h == 3 &&
      shape.groups % lanes<Accumulate<T>> == 0 && source_stride.c == 1 && result_stride.c == 1) {
    if (shape.padding.top % 2 != 0)
      return visit(StrideTwoRows<T, Phase<3, 1>>(problem, source_stride, result_stride, factors));
    return visit(StrideTwoRows<T, Phase<3, 0>>(problem, source_stride, result_stride, factors));
  }
  visit(DepthwiseRows<T>(problem, source_stride, result_stride, factors));
}

}  // namespace cnnops::CNNOPS_TARGET
