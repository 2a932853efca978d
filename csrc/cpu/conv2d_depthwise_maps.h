// Depthwise correlation of contiguous maps: columns are in vectors.
//
// A task owns a band of rows, or several maps where they are small. Source rows are brought into
// scratch memory once (conv2d_depthwise_band.h); register tiles then take each of its vectors once
// for all the results it enters. Every result is summed from its bias on in an order that its taps
// alone decide, in whichever tile it lies.
#pragma once

#include "conv2d_depthwise_band.h"
#include "conv2d_depthwise_phase.h"
#include "operand_lanes.h"
#include "operands.h"

namespace cnnops::CNNOPS_TARGET {

// Source samples of a task of several small maps.
inline constexpr int64_t kTaskSamples = 16384;

// Results of a block of one map.
template <class T>
struct ResultBlock {
  using A = Accumulate<T>;
  T* data;
  int64_t row_stride, column_stride, rows, columns;

  // Calls whole(p, q, count) for `count` tiles of `height` rows by `width` columns side by side, and
  // edge(p, q) for a tile that must be stored by put. Of each row of tiles the last comes first: the
  // lanes of a whole tile behind the last column fall on places of the block that come later.
  template <class Whole, class Edge>
  CNNOPS_INLINE void visit_tiles(int64_t height, int64_t width, Whole whole, Edge edge) const {
    const int64_t last = (columns - 1) / width;
    for (int64_t p = 0; p < rows; p += height) {
      const bool all_rows = p + height <= rows && column_stride == 1;
      if (all_rows && room(p + height - 1, last * width) >= width) {
        whole(p, last * width, 1);
      } else {
        edge(p, last * width);
      }
      if (all_rows) {
        whole(p, 0, last);
      } else {
        for (int64_t q = 0; q < last * width; q += width) edge(p, q);
      }
    }
  }

  T* place(int64_t row, int64_t column) const {
    return data + row * row_stride + column * column_stride;
  }

  // What lies inside the block of a vector of results, and maybe more on later places.
  CNNOPS_INLINE void put(int64_t row, int64_t column, Vec<A> value) const {
    if (row >= rows || column >= columns) return;
    if (column_stride == 1 && room(row, column) >= lanes<A>)
      return store(place(row, column), value);
    put_exactly(row, column, value);
  }
  void put_exactly(int64_t row, int64_t column, Vec<A> value) const {
    const int64_t count = smaller(lanes<A>, columns - column);
    if (column_stride == 1 && count == lanes<A>) return store(place(row, column), value);
    if (column_stride == 1) return store_partial(place(row, column), value, count);
    for (int64_t i = 0; i < count; ++i) store_scalar(place(row, column + i), value[i]);
  }

 private:
  // Adjacent results of the block from a place on.
  CNNOPS_INLINE int64_t room(int64_t row, int64_t column) const {
    const int64_t own = columns - column;
    return row_stride == columns ? (rows - row - 1) * columns + own : own;
  }
};

// ---- filters: each loads the taps of a channel and computes a block of results from a band ----

template <class T>
struct MapFilter {
  using A = Accumulate<T>;
  int64_t tile_rows;  // places of the lattice that a register tile spans
  int64_t results;    // along each axis at a place of the lattice
  int64_t taps;
  void (*load_taps)(const FilterView<T>& filter, const Correlation& lattice, A* taps);
  void (*correlate)(const Band<T>& band, const BandLayout& layout, const Correlation& lattice,
                    const A* taps, A bias, const ResultBlock<T>& result);
};

// Any filter on one lattice of results: one tap after another.
template <class T>
struct AnyFilter {
  using A = Accumulate<T>;

  static MapFilter<T> filter(const Correlation& lattice) {
    return {1, 1, lattice.h.taps * lattice.w.taps, load_taps, correlate};
  }
  static void load_taps(const FilterView<T>& filter, const Correlation& lattice, A* taps) {
    for (int64_t t = 0; t < lattice.h.taps; ++t) {
      const int64_t row = lattice.h.tap_first + t * lattice.h.tap_step;
      for (int64_t s = 0; s < lattice.w.taps; ++s) {
        const int64_t column = lattice.w.tap_first + s * lattice.w.tap_step;
        *taps++ =
            load_scalar(filter.data + row * filter.row_stride + column * filter.column_stride);
      }
    }
  }

  static void correlate(const Band<T>& band, const BandLayout& layout, const Correlation& lattice,
                        const A* taps, A bias, const ResultBlock<T>& result) {
    for (int64_t p = 0; p < result.rows; ++p) {
      for (int64_t q = 0; q < result.columns; q += lanes<A>) {
        Vec<A> sum = splat<A>(bias);
        const A* tap = taps;
        for (int64_t t = 0; t < lattice.h.taps; ++t) {
          const A* row = band.row(layout.row_of(p, t)) + q;
          for (int64_t s = 0; s < lattice.w.taps; ++s) {
            const Vec<A> sample = load(row + layout.tap_column(s * lattice.w.dilation));
            sum = multiply_add<A>(sample, splat<A>(*tap++), sum);
          }
        }
        result.put_exactly(p, q, sum);
      }
    }
  }
};

// A square filter of kTaps taps, without dilation, on one lattice.
template <class T, int kTaps, int kStride>
struct SquareFilter {
  using A = Accumulate<T>;
  static constexpr int64_t kTileRows = 4;

  static MapFilter<T> filter() { return {kTileRows, 1, kTaps * kTaps, load_taps, correlate}; }

  static void load_taps(const FilterView<T>& filter, const Correlation& lattice, A* taps) {
    const CorrelationAxis &h = lattice.h, &w = lattice.w;
    const T* from =
        filter.data + h.tap_first * filter.row_stride + w.tap_first * filter.column_stride;
    const int64_t row_step = h.tap_step * filter.row_stride,
                  step = w.tap_step * filter.column_stride;
#pragma GCC unroll 8
    for (int r = 0; r < kTaps; ++r, from += row_step) {
#pragma GCC unroll 8
      for (int s = 0; s < kTaps; ++s) *taps++ = load_scalar(from + s * step);
    }
  }

  static void correlate(const Band<T>& band, const BandLayout& layout, const Correlation&,
                        const A* taps, A bias, const ResultBlock<T>& result) {
    result.visit_tiles(
        kTileRows, lanes<A>,
        [&](int64_t p, int64_t q, int64_t count) {
          store_tiles(band.row(p * kStride) + q, layout.pitch, layout.length, taps, bias,
                      result.place(p, q), result.row_stride, count);
        },
        [&](int64_t p, int64_t q) {
          T sums[kTileRows * lanes<A>];
          store_tiles(band.row(p * kStride) + q, layout.pitch, layout.length, taps, bias, sums,
                      lanes<A>, 1);
          for (int64_t r = 0; r < kTileRows; ++r) result.put(p + r, q, load(sums + r * lanes<A>));
        });
  }

 private:
  // Tiles side by side. A function of its own, in whose loop nothing but addresses is left.
  __attribute__((noinline)) static void store_tiles(const A* row, int64_t pitch, int64_t length,
                                                    const A* taps, A bias, T* to, int64_t to_stride,
                                                    int64_t count) {
    Vec<A> filter[kTaps * kTaps];
    for (int t = 0; t < kTaps * kTaps; ++t) filter[t] = splat<A>(taps[t]);
    for (; count > 0; --count, row += lanes<A>, to += lanes<A>) {
      Vec<A> sums[kTileRows];
#pragma GCC unroll 16
      for (int64_t r = 0; r < kTileRows; ++r) {
        fetch_page_ahead_to_write(to + r * to_stride);
        sums[r] = splat<A>(bias);
      }
#pragma GCC unroll 16
      for (int j = 0; j < (kTileRows - 1) * kStride + kTaps; ++j) {
#pragma GCC unroll 16
        for (int s = 0; s < kTaps; ++s) {
          const Vec<A> sample = load(row + j * pitch + s % kStride * length + s / kStride);
#pragma GCC unroll 16
          for (int r = 0; r < kTileRows; ++r) {
            const int t = j - r * kStride;
            if (t >= 0 && t < kTaps)
              sums[r] = multiply_add<A>(sample, filter[t * kTaps + s], sums[r]);
          }
        }
      }
#pragma GCC unroll 16
      for (int64_t r = 0; r < kTileRows; ++r) store(to + r * to_stride, sums[r]);
    }
  }
};

// The gradient of stride 2: 2 x 2 results at a place.
template <class T, int kTaps, int kPadding>
struct StrideTwoGradient {
  using A = Accumulate<T>;
  using P = Phase<kTaps, kPadding>;

  static MapFilter<T> filter() { return {1, 2, kTaps * kTaps, load_taps, correlate}; }

  static void load_taps(const FilterView<T>& filter, const Correlation&, A* taps) {
#pragma GCC unroll 8
    for (int r = 0; r < kTaps; ++r) {
#pragma GCC unroll 8
      for (int s = 0; s < kTaps; ++s)
        *taps++ = load_scalar(filter.data + r * filter.row_stride + s * filter.column_stride);
    }
  }

  static void correlate(const Band<T>& band, const BandLayout& layout, const Correlation&,
                        const A* taps, A bias, const ResultBlock<T>& result) {
    result.visit_tiles(
        2, 2 * lanes<A>,
        [&](int64_t p, int64_t q, int64_t count) {
          store_tiles(band.row(p / 2) + q / 2, layout.pitch, taps, bias, result.place(p, q),
                      result.row_stride, count);
        },
        [&](int64_t p, int64_t q) {
          T sums[4 * lanes<A>];
          store_tiles(band.row(p / 2) + q / 2, layout.pitch, taps, bias, sums, 2 * lanes<A>, 1);
          for (int64_t phase = 0; phase < 2; ++phase) {
            const T* row = sums + phase * 2 * lanes<A>;
            result.put(p + phase, q + lanes<A>, load(row + lanes<A>));
            result.put(p + phase, q, load(row));
          }
        });
  }

 private:
  // Tiles side by side, of two rows by two vectors of results.
  __attribute__((noinline)) static void store_tiles(const A* row, int64_t pitch, const A* taps,
                                                    A bias, T* to, int64_t to_stride,
                                                    int64_t count) {
    Vec<A> filter[kTaps * kTaps];
    for (int t = 0; t < kTaps * kTaps; ++t) filter[t] = splat<A>(taps[t]);
    for (; count > 0; --count, row += lanes<A>, to += 2 * lanes<A>) {
      Vec<A> sums[4];
      for (int phase = 0; phase < 4; ++phase) {
        fetch_page_ahead_to_write(to + phase / 2 * to_stride + phase % 2 * lanes<A>);
        sums[phase] = splat<A>(bias);
      }
#pragma GCC unroll 16
      for (int y = 0; y < P::kSamples; ++y) {
#pragma GCC unroll 16
        for (int x = 0; x < P::kSamples; ++x) {
          const Vec<A> sample = load(row + y * pitch + x);
#pragma GCC unroll 4
          for (int phase = 0; phase < 4; ++phase) {
            const int r = P::tap(phase / 2, y), s = P::tap(phase % 2, x);
            if (r >= 0 && s >= 0)
              sums[phase] = multiply_add<A>(sample, filter[r * kTaps + s], sums[phase]);
          }
        }
      }
      for (int phase = 0; phase < 2; ++phase) {
        const Vec<A> left = sums[2 * phase], right = sums[2 * phase + 1];
        store(to + phase * to_stride, interleave_low<A>(left, right));
        store(to + phase * to_stride + lanes<A>, interleave_high<A>(left, right));
      }
    }
  }
};

// ---- the correlation of all maps with a filter, at the places of one lattice ----

template <class T>
class MapCorrelation {
 public:
  using A = Accumulate<T>;

  MapCorrelation(const CorrelationOperands<T>& operands, const Correlation& lattice,
                 const MapFilter<T>& filter, Pair map)
      : operands_(operands),
        lattice_(lattice),
        filter_(filter),
        map_(map),
        columns_(blocking(lattice.w.count, kBandColumns, lanes<A>)),
        rows_(band_rows<A>(lattice, columns_.size, filter.tile_rows)),
        layout_(band_layout<A>(lattice, rows_.size, columns_.size)),
        maps_(blocking(operands.batch * operands.groups, maps_of_task(), 1)),
        stack_(bands_at_once<A>(layout_, maps_.size)) {}

  int64_t workspace(int64_t threads) const {
    return workspace_bytes(Arena(), threads, [&](Arena& arena) { return take(arena); });
  }

  void run(const Execution& execution) const {
    const ScratchBySlot scratch(execution, Arena(), [&](Arena& arena) { return take(arena); });
    const int64_t blocks = rows_.count * columns_.count;
    parallel(execution, maps_.count * blocks, [&](int64_t task, int64_t slot) {
      const int64_t block = task % blocks;
      run_block(task / blocks, block / columns_.count * rows_.size,
                block % columns_.count * columns_.size, scratch(slot));
    });
  }

 private:
  // Scratch memory of one thread.
  struct Scratch {
    A *bands, *taps;
  };
  Scratch take(Arena& arena) const {
    return {arena.take<A>(stack_ * layout_.size<A>()), arena.take<A>(filter_.taps)};
  }

  // Several, if each is but one block.
  int64_t maps_of_task() const {
    const int64_t samples = lattice_.h.source * lattice_.w.source;
    if (rows_.count > 1 || columns_.count > 1) return 1;
    return larger<int64_t>(1, kTaskSamples / larger<int64_t>(1, samples));
  }

  // The results at the places from (p, q) on of a group of maps. A stack of maps is
  // loaded before the first of them is read.
  void run_block(int64_t group, int64_t p, int64_t q, const Scratch& scratch) const {
    const CorrelationAxis &h = lattice_.h, &w = lattice_.w;
    const Pair source{h.source, w.source};
    const BandPlace place{p * h.stride + h.offset, q * w.stride + w.offset};
    const int64_t first = group * maps_.size;
    const int64_t last = smaller(first + maps_.size, operands_.batch * operands_.groups);
    for (int64_t i = 0; i < smaller(stack_, last - first); ++i)
      band(scratch, i).clear_frame(source, place);
    MapIndex loaded(first, operands_.groups), computed = loaded;
    for (int64_t map = first; map < last; map += stack_) {
      const int64_t count = smaller(stack_, last - map);
      for (int64_t i = 0; i < count; ++i, loaded.next())
        band(scratch, i).load_map(source_map(loaded), operands_.source_stride, source, place);
      for (int64_t i = 0; i < count; ++i, computed.next())
        correlate(band(scratch, i), computed, scratch.taps, result_block(computed, p, q));
    }
  }

  Band<T> band(const Scratch& scratch, int64_t index) const {
    return {layout_, scratch.bands + index * layout_.size<A>()};
  }
  const T* source_map(const MapIndex& map) const {
    return operands_.source + at(operands_.source_stride, map.image, map.channel, 0, 0);
  }

  CNNOPS_INLINE void correlate(const Band<T>& band, const MapIndex& map, A* taps,
                               const ResultBlock<T>& result) const {
    FilterView<T> view = operands_.filter;
    view.data += map.channel * view.group_stride;
    filter_.load_taps(view, lattice_, taps);
    const A bias = operands_.bias != nullptr ? load_scalar(operands_.bias + map.channel) : A(0);
    filter_.correlate(band, layout_, lattice_, taps, bias, result);
  }

  ResultBlock<T> result_block(const MapIndex& map, int64_t p, int64_t q) const {
    const CorrelationAxis &h = lattice_.h, &w = lattice_.w;
    const Strides4& stride = operands_.result_stride;
    const int64_t row = h.first + p * h.step, column = w.first + q * w.step;
    T* data = operands_.result + at(stride, map.image, map.channel, row, column);
    if (filter_.results > 1) {
      return {data, stride.h, stride.w, smaller(rows_.size * h.step, map_.h - row),
              smaller(columns_.size * w.step, map_.w - column)};
    }
    return {data, h.step * stride.h, w.step * stride.w, smaller(rows_.size, h.count - p),
            smaller(columns_.size, w.count - q)};
  }

  const CorrelationOperands<T> operands_;
  const Correlation lattice_;
  const MapFilter<T> filter_;
  const Pair map_;  // of the results
  const Blocking columns_, rows_;
  const BandLayout layout_;
  const Blocking maps_;  // of a task
  const int64_t stack_;  // maps in scratch memory at once
};

// ---- which filters a problem needs ----

// The filter for a lattice: those of common sizes are unrolled.
template <class T>
MapFilter<T> map_filter(const Correlation& lattice) {
  const CorrelationAxis &h = lattice.h, &w = lattice.w;
  const bool square = h.taps == w.taps && h.stride == w.stride && h.stride <= 2 &&
                      h.dilation == 1 && w.dilation == 1;
  switch (square ? h.taps * 10 + h.stride : 0) {
    case 31:
      return SquareFilter<T, 3, 1>::filter();
    case 32:
      return SquareFilter<T, 3, 2>::filter();
    case 51:
      return SquareFilter<T, 5, 1>::filter();
    case 52:
      return SquareFilter<T, 5, 2>::filter();
    case 71:
      return SquareFilter<T, 7, 1>::filter();
    default:
      return AnyFilter<T>::filter(lattice);
  }
}

// Calls visit(correlation) for every MapCorrelation that a problem is made of.
template <class T, class Visit>
void visit_map_correlations(const Conv2dProblem& problem, const CorrelationOperands<T>& operands,
                            Visit visit) {
  const Conv2dShape& shape = problem.shape;
  const Pair map = result_map(problem);
  const auto square_gradient = [&]<class Filter>() {
    const WindowGrid grid = window_grid(shape);
    const Correlation lattice{stride_two_axis<typename Filter::P>(grid.h),
                              stride_two_axis<typename Filter::P>(grid.w)};
    visit(MapCorrelation<T>(operands, lattice, Filter::filter(), map));
  };
  if (is_stride_two_gradient(problem)) {
    const bool is_odd = shape.padding.top % 2 != 0;
    const int64_t kernel = shape.kernel.h;
    if (kernel == 3 && is_odd)
      return square_gradient.template operator()<StrideTwoGradient<T, 3, 1>>();
    if (kernel == 3) return square_gradient.template operator()<StrideTwoGradient<T, 3, 0>>();
    if (kernel == 5 && !is_odd)
      return square_gradient.template operator()<StrideTwoGradient<T, 5, 0>>();
  }
  const Lattices lattices = correlation_lattices(problem);
  for (const CorrelationAxis& h : lattices.rows) {
    for (const CorrelationAxis& w : lattices.columns)
      visit(MapCorrelation<T>(operands, {h, w}, map_filter<T>({h, w}), map));
  }
}

}  // namespace cnnops::CNNOPS_TARGET
