// Contiguous maps of moderate size under 3 x 3 filters that leave them their size, straight from memory:
// vectors of results run on through the rows of a map, and the samples of each tap lie one distance from
// them; over the edge they are zeros (shifts.h).
//
// A row of taps reads one vector and the samples beside it: three vectors in registers move on through
// the map.
#pragma once

#include "ahead.h"
#include "operands.h"
#include "shifts.h"
#include "vector_pairs.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class ShiftedMap {
 public:
  using A = Accumulate<T>;

  // Where masks cost nothing.
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

  // All maps of the tensor have this stride.
  ShiftedMap(const Conv2dShape& shape, const Strides4& stride)
      : size(shape.input.h * shape.input.w),
        maps(shape.batch * shape.groups),
        shifts_(window_grid(shape)),
        stride_(stride),
        width_(shape.input.w),
        is_dense_(is_dense(stride, shape.groups, shape.input)) {}

  const int64_t size, maps;  // samples, and how many there are

  T* take(Arena& arena) const { return arena.take<T>(size + 2 * margin()); }

  // A map that may be read beyond its ends: where it lies in the tensor, or in a copy.
  const T* map(const T* tensor, const MapIndex& index, T* copy) const {
    const T* const samples = tensor + at(stride_, index.image, index.channel, 0, 0);
    const int64_t first = (index.image * index.channels + index.channel) * size;
    const bool has_room = first >= margin() && first + size + margin() <= maps * size;
    if (is_dense_ && has_room) return samples;
    for (int64_t i = 0; i < size; ++i)
      copy[margin() + i] = samples[i / width_ * stride_.h + i % width_ * stride_.w];
    return copy + margin();
  }

  // use(i, samples) for every vector of a map, with the samples of the nine taps of results i and on.
  template <class Use>
  CNNOPS_INLINE void visit(const T* map, Use use) const {
    const uint16_t* const bits = shifts_.bits[0];
    const int64_t first_row = smaller(width_, size), last_row = size - width_ - lanes<A>;
    Row rows[3] = {Row(map - width_), Row(map), Row(map + width_)};
    int64_t i = 0;
    for (; i < first_row; i += lanes<A>) visit_vector<EdgeBits>(bits, i, rows, use);
    for (; i <= last_row; i += lanes<A>) visit_vector<InnerBits>(bits, i, rows, use);
    for (; i < size; i += lanes<A>) visit_vector<EdgeBits>(bits, i, rows, use);
  }

 private:
  static constexpr int64_t kMostVectors = 1024;

  // Elements that vectors read before and behind a map.
  int64_t margin() const { return round_up(width_ + lanes<A>, lanes<A>) + 2 * lanes<A>; }

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
    CNNOPS_INLINE Vec<A> left() const { return join_lanes<A, int(lanes<A>) - 1>(before, at); }
    CNNOPS_INLINE Vec<A> right() const { return join_lanes<A, 1>(at, behind); }
  };

  // The bits of a row of taps. All rows meet samples, but for results in the first and the last one.
  struct EdgeBits {
    uint16_t left, at, right;

    CNNOPS_INLINE EdgeBits(const uint16_t* bits, int row)
        : left(bits[row * 3 * kMostVectors]),
          at(bits[(row * 3 + 1) * kMostVectors]),
          right(bits[(row * 3 + 2) * kMostVectors]) {}
    CNNOPS_INLINE Vec<A> samples(Vec<A> all) const { return where_set<A>(at, all, Vec<A>{}); }
  };
  struct InnerBits {
    uint16_t left, right;

    CNNOPS_INLINE InnerBits(const uint16_t* bits, int)
        : left(bits[3 * kMostVectors]), right(bits[5 * kMostVectors]) {}
    CNNOPS_INLINE Vec<A> samples(Vec<A> all) const { return all; }
  };

  template <class Bits, class Use>
  CNNOPS_INLINE static void visit_vector(const uint16_t* bits, int64_t i, Row* rows, Use use) {
    fetch_page_ahead(rows[1].next);
    Vec<A> samples[9];
#pragma GCC unroll 3
    for (int r = 0; r < 3; ++r) {
      const Bits of(bits + i / lanes<A>, r);
      samples[3 * r] = where_set<A>(of.left, rows[r].left(), Vec<A>{});
      samples[3 * r + 1] = of.samples(rows[r].at);
      samples[3 * r + 2] = where_set<A>(of.right, rows[r].right(), Vec<A>{});
    }
    use(i, samples);
#pragma GCC unroll 3
    for (int r = 0; r < 3; ++r) rows[r].advance();
  }

  const Shifts<A, 9, kMostVectors> shifts_;
  const Strides4 stride_;
  const int64_t width_;
  const bool is_dense_;
};

}  // namespace cnnops::CNNOPS_TARGET
