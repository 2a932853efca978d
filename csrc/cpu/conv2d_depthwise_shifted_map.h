// Contiguous maps of moderate size under 3 x 3 filters that leave them their size, straight from memory:
// vectors of results run on through the rows of a map, and the samples of each tap lie one distance from
// them; over the edge they are zeros (shifts.h).
//
// A row of taps reads one vector and the samples beside it: three vectors in registers move on through
// the map.
#pragma once

#include "ahead.h"
#include "conv2d_depthwise_readable_maps.h"
#include "shifts.h"
#include "vector_pairs.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class ShiftedMap : public ReadableMaps<T> {
 public:
  using A = Accumulate<T>;

  // Where masks cost something, only dw is faster than from bands.
  static bool supports(const Conv2dProblem& problem) {
    const bool is_worthwhile = kHasLaneMasks || problem.pass == Conv2dPass::kWeightGrad;
    const Conv2dShape& shape = problem.shape;
    const int64_t samples = shape.input.h * shape.input.w;
    return is_worthwhile && can_read_maps(problem) && has_size(shape, 3, 1) &&
           shape.output.h == shape.input.h && shape.output.w == shape.input.w &&
           2 * samples >= lanes<A> && samples <= kMostVectors * lanes<A>;
  }

  ShiftedMap(const Conv2dShape& shape, const Strides4& stride)
      : ReadableMaps<T>(shape, shape.input, stride,
                        round_up(shape.input.w + lanes<A>, lanes<A>) + 2 * lanes<A>),
        shifts_(window_grid(shape)),
        size_(shape.input.h * shape.input.w),
        width_(shape.input.w) {}

  // use(i, count, samples) for every vector of a map, with the samples of the nine taps of the results i
  // and on; `count` of them are left.
  template <class Use>
  CNNOPS_INLINE void visit(const T* map, Use use) const {
    const uint16_t* const bits = shifts_.bits[0];
    const int64_t size = size_, first_row = smaller(width_, size);
    const int64_t last_row = size - width_ - lanes<A>;
    Row rows[3] = {Row(map - width_), Row(map), Row(map + width_)};
    int64_t i = 0;
    for (; i < first_row; i += lanes<A>) visit_vector<EdgeBits>(bits, i, size - i, rows, use);
    for (; i <= last_row; i += lanes<A>) visit_vector<InnerBits>(bits, i, size - i, rows, use);
    for (; i < size; i += lanes<A>) visit_vector<EdgeBits>(bits, i, size - i, rows, use);
  }

 private:
  static constexpr int64_t kMostVectors = 1024;

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
  CNNOPS_INLINE static void visit_vector(const uint16_t* bits, int64_t i, int64_t count, Row* rows,
                                         Use use) {
    fetch_page_ahead(rows[1].next);
    Vec<A> samples[9];
#pragma GCC unroll 3
    for (int r = 0; r < 3; ++r) {
      const Bits of(bits + i / lanes<A>, r);
      samples[3 * r] = where_set<A>(of.left, rows[r].left(), Vec<A>{});
      samples[3 * r + 1] = of.samples(rows[r].at);
      samples[3 * r + 2] = where_set<A>(of.right, rows[r].right(), Vec<A>{});
    }
    use(i, count, samples);
#pragma GCC unroll 3
    for (int r = 0; r < 3; ++r) rows[r].advance();
  }

  const Shifts<A, 9, kMostVectors> shifts_;
  const int64_t size_, width_;
};

}  // namespace cnnops::CNNOPS_TARGET
