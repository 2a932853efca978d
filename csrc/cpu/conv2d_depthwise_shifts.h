// Depthwise correlation of dense contiguous maps of moderate size with 3 x 3 filters that leave them their
// size, straight from memory: vectors of results run on through the rows of a map, and take the samples
// of each tap from where its distance leads; over the edge they are zeros (shifts.h).
//
// A row of taps reads one vector and the samples beside it: three vectors in registers move on through
// the map. Needs masks that cost nothing.
#pragma once

#include "ahead.h"
#include "operands.h"
#include "shifts.h"
#include "vector_pairs.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class ShiftedCorrelation {
 public:
  using A = Accumulate<T>;

  static bool supports(const Conv2dProblem& problem) {
#if defined(CNNOPS_AVX512)
    const Conv2dShape& shape = problem.shape;
    const int64_t samples = shape.input.h * shape.input.w;
    const auto is = [](Pair pair, int64_t value) { return pair.h == value && pair.w == value; };
    return !problem.channels_last && is(shape.kernel, 3) && is(shape.stride, 1) &&
           is(shape.dilation, 1) && shape.padding.top == 1 && shape.padding.left == 1 &&
           shape.output.h == shape.input.h && shape.output.w == shape.input.w &&
           2 * samples >= lanes<A> && samples <= kMostVectors * lanes<A>;
#else
    return false;
#endif
  }

  ShiftedCorrelation(const Conv2dProblem& problem, const CorrelationOperands<T>& operands)
      : operands_(operands),
        shifts_(window_grid(problem.shape)),
        maps_(problem.shape.batch * problem.shape.groups),
        size_(problem.shape.input.h * problem.shape.input.w),
        width_(problem.shape.input.w),
        is_dense_(is_dense(operands.source_stride, problem.shape.groups, problem.shape.input)) {
    if (problem.pass == Conv2dPass::kInputGrad) rotate(operands_.filter);
  }

  int64_t workspace(int64_t threads) const {
    return workspace_bytes(Arena(), threads, [&](Arena& arena) { return take(arena); });
  }

  void run(const Execution& execution) const {
    const ScratchBySlot scratch(execution, Arena(), [&](Arena& arena) { return take(arena); });
    parallel_ranges(execution, maps_, [&](int64_t first, int64_t last, int64_t slot) {
      T* const copy = scratch(slot);
      MapIndex index(first, operands_.groups);
      for (int64_t map = first; map < last; ++map, index.next())
        correlate(source_of(index, copy), map, index.channel, (last - map) * size_);
    });
  }

 private:
  static constexpr int64_t kMostVectors = 256;

  static void rotate(FilterView<T>& filter) {
    filter.data += 2 * (filter.row_stride + filter.column_stride);
    filter.row_stride = -filter.row_stride;
    filter.column_stride = -filter.column_stride;
  }

  // Elements that vectors read before and behind a map.
  int64_t margin() const { return round_up(width_, lanes<A>) + 2 * lanes<A>; }
  T* take(Arena& arena) const { return arena.take<T>(size_ + 2 * margin()); }

  // A map that may be read beyond its ends: in the tensor, or a copy.
  const T* source_of(const MapIndex& map, T* copy) const {
    const Strides4& stride = operands_.source_stride;
    const T* const source = operands_.source + at(stride, map.image, map.channel, 0, 0);
    const int64_t first = (map.image * operands_.groups + map.channel) * size_;
    const bool has_room = first >= margin() && first + size_ + margin() <= maps_ * size_;
    if (is_dense_ && has_room) return source;
    for (int64_t i = 0; i < size_; ++i)
      copy[margin() + i] = source[i / width_ * stride.h + i % width_ * stride.w];
    return copy + margin();
  }

  // `room` elements from the first result on belong to maps of the same thread.
  void correlate(const T* source, int64_t map, int64_t channel, int64_t room) const {
    const FilterView<T>& view = operands_.filter;
    const T* from = view.data + channel * view.group_stride;
    A taps[9];
#pragma GCC unroll 9
    for (int t = 0; t < 9; ++t)
      taps[t] = load_scalar(from + t / 3 * view.row_stride + t % 3 * view.column_stride);
    const A bias = operands_.bias != nullptr ? load_scalar(operands_.bias + channel) : A(0);
    write(source, taps, bias, operands_.result + map * size_, room);
  }

  // The vectors of samples at one distance: those before, at and behind the one in turn.
  struct Row {
    const T* next;
    Vec<A> before, at, behind;

    CNNOPS_INLINE explicit Row(const T* first)
        : next(first + 2 * lanes<A>),
          before(load(first - lanes<A>)),
          at(load(first)),
          behind(load(first + lanes<A>)) {}
    CNNOPS_INLINE void advance() {
      before = at;
      at = behind;
      behind = load(next);
      next += lanes<A>;
    }
    // The samples beside those in turn.
    CNNOPS_INLINE Vec<A> left() const { return join_lanes<A, int(lanes<A>) - 1>(before, at); }
    CNNOPS_INLINE Vec<A> right() const { return join_lanes<A, 1>(at, behind); }
  };

  // The rows of samples that a vector of results meets.
  struct Rows {
    Row above, beside, below;

    CNNOPS_INLINE void advance() {
      above.advance();
      beside.advance();
      below.advance();
    }
  };

  __attribute__((noinline)) void write(const T* source, const A* taps, A bias, T* to,
                                       int64_t room) const {
    Vec<A> filter[9];
    for (int t = 0; t < 9; ++t) filter[t] = splat<A>(taps[t]);
    const uint16_t* const bits = shifts_.bits[0];
    const int64_t size = size_, inner = size - width_ - lanes<A>;
    Rows rows{Row(source - width_), Row(source), Row(source + width_)};
    int64_t i = 0;
    const auto fold = [&]<class Taps>(Taps) __attribute__((always_inline)) {
      fetch_page_ahead(source + i);
      fetch_page_ahead_to_write(to + i);
      Vec<A> sum = splat<A>(bias);
      add_row(rows.above, Taps::of_row(bits + i / lanes<A>, 0), filter, sum);
      add_row(rows.beside, Taps::of_row(bits + i / lanes<A>, 1), filter + 3, sum);
      add_row(rows.below, Taps::of_row(bits + i / lanes<A>, 2), filter + 6, sum);
      rows.advance();
      return sum;
    };
    const auto fold_edge = [&]() __attribute__((always_inline)) {
      const Vec<A> sum = fold(EdgeTaps{});
      i + lanes<A> <= room ? store(to + i, sum) : store_partial(to + i, sum, size - i);
    };
    for (; i < smaller(width_, size); i += lanes<A>) fold_edge();
    for (; i <= inner; i += lanes<A>) store(to + i, fold(InnerTaps{}));
    for (; i < size; i += lanes<A>) fold_edge();
  }

  // The bits of a row of taps. All rows meet samples, but for results in the first and the last one.
  struct EdgeTaps {
    uint16_t left, at, right;

    CNNOPS_INLINE static EdgeTaps of_row(const uint16_t* bits, int row) {
      bits += row * 3 * kMostVectors;
      return {bits[0], bits[kMostVectors], bits[2 * kMostVectors]};
    }
    CNNOPS_INLINE Vec<A> beside(Vec<A> samples) const {
      return where_set<A>(at, samples, Vec<A>{});
    }
  };
  struct InnerTaps {
    uint16_t left, right;

    CNNOPS_INLINE static InnerTaps of_row(const uint16_t* bits, int) {
      return {bits[3 * kMostVectors], bits[5 * kMostVectors]};
    }
    CNNOPS_INLINE Vec<A> beside(Vec<A> samples) const { return samples; }
  };

  template <class Taps>
  CNNOPS_INLINE static void add_row(const Row& row, const Taps& taps, const Vec<A>* filter,
                                    Vec<A>& sum) {
    const Vec<A> left = where_set<A>(taps.left, row.left(), Vec<A>{});
    const Vec<A> right = where_set<A>(taps.right, row.right(), Vec<A>{});
    sum = multiply_add<A>(left, filter[0], sum);
    sum = multiply_add<A>(taps.beside(row.at), filter[1], sum);
    sum = multiply_add<A>(right, filter[2], sum);
  }

  CorrelationOperands<T> operands_;
  const Shifts<A, 9, kMostVectors> shifts_;
  const int64_t maps_, size_, width_;
  const bool is_dense_;
};

}  // namespace cnnops::CNNOPS_TARGET
