// Contiguous maps under 3 x 3 filters with stride 2, straight from memory: vectors of samples are split into
// even and odd columns, and every row of results takes its own.
#pragma once

#include "ahead.h"
#include "conv2d_depthwise_readable_maps.h"
#include "vector_pairs.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class HalvedMap : public ReadableMaps<T> {
 public:
  using A = Accumulate<T>;

  // Where rows of results fill most of a vector, and padding beside no sample but the first and the last.
  static bool supports(const Conv2dProblem& problem) {
    const Conv2dShape& shape = problem.shape;
    return problem.pass != Conv2dPass::kInputGrad && can_read_maps(problem) &&
           has_size(shape, 3, 2) && 2 * (shape.output.w - 1) < shape.input.w &&
           4 * shape.output.w >= 3 * lanes<A> && shape.output.w <= kMostVectors * lanes<A>;
  }

  HalvedMap(const Conv2dShape& shape, const Strides4& stride)
      : ReadableMaps<T>(shape, shape.input, stride, 2 * lanes<A>),
        input_(shape.input),
        output_(shape.output) {
    for (int64_t i = 0; i < divide_up(output_.w, lanes<A>); ++i) {
      const int64_t columns = input_.w - 2 * i * lanes<A>, results = output_.w - i * lanes<A>;
      all_[i] = lane_bits(smaller(lanes<A>, results));
      right_[i] = lane_bits(smaller(lanes<A>, smaller(results, columns / 2)));
    }
  }

  // use(i, count, samples) for every vector of a row of results, with the samples of the nine taps of
  // the results i and on; `count` of them are left in the row.
  template <class Use>
  CNNOPS_INLINE void visit(const T* map, Use use) const {
    const int64_t columns = output_.w;
    for (int64_t p = 0; p < output_.h; ++p) {
      const T* rows[3];
      Vec<A> before[3] = {};
#pragma GCC unroll 3
      for (int64_t r = 0; r < 3; ++r) {
        const int64_t y = 2 * p - 1 + r;
        rows[r] = y >= 0 && y < input_.h ? map + y * input_.w : kNoSamples;
      }
      for (int64_t q = 0; q < columns; q += lanes<A>) {
        const uint16_t all_bits = all_[q / lanes<A>], right_bits = right_[q / lanes<A>];
        Vec<A> samples[9];
#pragma GCC unroll 3
        for (int r = 0; r < 3; ++r) {
          const T* const from = rows[r] + 2 * q;
          if (r > 0) fetch_page_ahead(from), fetch_page_ahead(from + lanes<A>);
          const Vec<A> low = load(from), high = load(from + lanes<A>);
          const Vec<A> right = where_set<A>(right_bits, odd<A>(low, high), Vec<A>{});
          const Vec<A> left = join_lanes<A, int(lanes<A>) - 1>(before[r], right);
          samples[3 * r] = where_set<A>(all_bits, left, Vec<A>{});
          samples[3 * r + 1] = where_set<A>(all_bits, even<A>(low, high), Vec<A>{});
          samples[3 * r + 2] = right;
          before[r] = right;
        }
        use(p * columns + q, columns - q, samples);
      }
    }
  }

 private:
  static constexpr int64_t kMostVectors = 64;

  static constexpr T kNoSamples[2 * kMostVectors * lanes<A>] = {};

  const Pair input_, output_;
  uint16_t all_[kMostVectors],
      right_[kMostVectors];  // lanes of results; with a sample on the right
};

}  // namespace cnnops::CNNOPS_TARGET
