// The input gradient of contiguous maps under 3 x 3 filters with stride 2, straight from memory: what a vector
// of results gives to even and to odd columns of samples is computed side by side and interleaved. Rows of
// results that fill less than half a vector share one with the next row.
#pragma once

#include "ahead.h"
#include "conv2d_depthwise_readable_maps.h"
#include "vector_pairs.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class HalvedMapGradient : public ReadableMaps<T> {
 public:
  using A = Accumulate<T>;

  static bool supports(const Conv2dProblem& problem) {
    const Conv2dShape& shape = problem.shape;
    return problem.pass == Conv2dPass::kInputGrad && kHasLaneMasks && can_read_maps(problem) &&
           has_size(shape, 3, 2) && 4 * shape.output.w >= lanes<A> &&
           shape.input.w < 2 * kMostStrips * lanes<A>;
  }

  HalvedMapGradient(const Conv2dShape& shape, const Strides4& stride)
      : ReadableMaps<T>(shape, shape.output, stride, 0),
        input_(shape.input),
        output_(shape.output),
        together_(2 * output_.w < lanes<A> && input_.w < lanes<A> ? 2 : 1),
        strips_(divide_up(input_.w + 1, 2 * lanes<A>)) {
    for (int64_t i = 0; i < strips_; ++i) find_strip(i);
    for (int64_t l = 0; l < lanes<A>; ++l) {
      const int64_t column = l % kHalf, row = l / kHalf * output_.w;
      lane_[l] = Int<A>(smaller(row + column, lanes<A> - 1));
      lane_before_[l] = Int<A>(smaller(row + larger<int64_t>(column - 1, 0), lanes<A> - 1));
    }
  }

  // The gradient of a map, added to a bias. The filter is rotated, and a vector each.
  void write(const T* map, const Vec<A>* filter, A bias, T* to) const {
    for (int64_t i = 0; 2 * i - 1 < input_.h; i += together_) {
      for (int64_t strip = 0; strip < strips_; ++strip) {
        const Gradients before = read(map, i - 1, strip), at = read(map, i, strip);
        Vec<A> left = splat<A>(bias), right = left;
        add_row(before, filter, left, right);
        add_row(at, filter + 6, left, right);
        write_row(to, 2 * i - 1, strip, left, right);
        left = right = splat<A>(bias);
        add_row(at, filter + 3, left, right);
        write_row(to, 2 * i, strip, left, right);
      }
    }
  }

 private:
  static constexpr int64_t kMostStrips = 32, kHalf = lanes<A> / 2;

  // A vector of gradients, and that of those one column before.
  struct Gradients {
    Vec<A> before, at;
  };
  // The lanes of those that lie in the map, and of the samples they belong to, in two vectors.
  struct Columns {
    uint16_t before, at, low, high;
  };

  void find_strip(int64_t strip) {
    const int64_t first = strip * lanes<A>, low = 2 * first - 1;
    if (together_ == 1) {
      columns_[strip] = {lanes_between<A>(first - 1, output_.w), lanes_between<A>(first, output_.w),
                         lanes_between<A>(low, input_.w),
                         lanes_between<A>(low + lanes<A>, input_.w)};
    } else {
      const auto twice = [](uint16_t bits) { return uint16_t(bits | bits << kHalf); };
      const uint16_t all = lane_bits(kHalf);
      columns_[strip] = {twice(lanes_between<A>(-1, output_.w) & all),
                         twice(lanes_between<A>(0, output_.w) & all),
                         lanes_between<A>(low, input_.w), lanes_between<A>(low, input_.w)};
    }
  }

  CNNOPS_INLINE Gradients read(const T* map, int64_t row, int64_t strip) const {
    return together_ == 1 ? read_row(map, row, strip) : read_pair(map, row);
  }

  CNNOPS_INLINE Gradients read_row(const T* map, int64_t row, int64_t strip) const {
    const Columns& columns = columns_[strip];
    const uint16_t there = row >= 0 && row < output_.h ? lane_bits(lanes<A>) : 0;
    const T* const from = map + row * output_.w + strip * lanes<A>;
    return {load_set(from - 1, columns.before & there, Vec<A>{}),
            load_set(from, columns.at & there, Vec<A>{})};
  }

  // The row in the low lanes and the next one in the high lanes.
  CNNOPS_INLINE Gradients read_pair(const T* map, int64_t row) const {
    const Columns& columns = columns_[0];
    const bool has_low = row >= 0 && row < output_.h, has_high = row + 1 < output_.h;
    const uint16_t one = lane_bits(output_.w), half = lane_bits(kHalf);
    const uint16_t adjacent = (has_low ? one : 0) | (has_high ? one << output_.w : 0);
    const uint16_t there = (has_low ? half : 0) | (has_high ? half << kHalf : 0);
    const Vec<A> both = load_set(map + row * output_.w, adjacent, Vec<A>{});
    return {where_set<A>(columns.before & there, pick_lanes<A>(both, both, lane_before_), Vec<A>{}),
            where_set<A>(columns.at & there, pick_lanes<A>(both, both, lane_), Vec<A>{})};
  }

  // What a row of gradients gives through three taps.
  CNNOPS_INLINE static void add_row(const Gradients& gradients, const Vec<A>* taps, Vec<A>& left,
                                    Vec<A>& right) {
    left = multiply_add<A>(gradients.before, taps[0], left);
    left = multiply_add<A>(gradients.at, taps[2], left);
    right = multiply_add<A>(gradients.at, taps[1], right);
  }

  CNNOPS_INLINE void write_row(T* to, int64_t y, int64_t strip, Vec<A> left, Vec<A> right) const {
    const Columns& columns = columns_[strip];
    const int64_t next = 2 * (together_ - 1);
    T* const low = to + y * input_.w + 2 * strip * lanes<A> - 1;
    T* const high = together_ == 1 ? low + lanes<A> : low + next * input_.w;
    fetch_page_ahead_to_write(low);
    const auto there = [&](int64_t row) { return row >= 0 && row < input_.h; };
    store_set(low, interleave_low<A>(left, right), there(y) ? columns.low : uint16_t(0));
    store_set(high, interleave_high<A>(left, right), there(y + next) ? columns.high : uint16_t(0));
  }

  const Pair input_, output_;
  const int64_t together_, strips_;
  Ints<A> lane_, lane_before_;  // of two rows that share a vector, where every gradient comes from
  Columns columns_[kMostStrips];
};

}  // namespace cnnops::CNNOPS_TARGET
