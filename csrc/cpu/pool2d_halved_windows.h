// What windows two apart give to their samples: the sources of a gradient, prepared, in scratch memory with
// zeros around the map, which change no sum. A map is read in bands of rows.
#pragma once

#include "ahead.h"
#include "pool2d_halves.h"
#include "vector_pairs.h"

namespace cnnops::CNNOPS_TARGET {

// Runs a functor of pool2d_fold.h. T stores its values, Second its second source, if it has one.
template <class Op, class T, class Second>
class HalvedWindows {
 public:
  using A = typename Op::A;
  static constexpr int64_t kRoom = 8 * 1024 / sizeof(A);

  // Rows of windows from `first` on, the row before it at -pitch. Lanes behind a row are any numbers.
  class Band {
   public:
    CNNOPS_INLINE Vec<A> first(int64_t at) const { return load(first_ + kBefore + at); }
    CNNOPS_INLINE Vec<A> second(int64_t at) const {
      if constexpr (Op::kSources > 1) return load(second_ + kBefore + at);
      return Vec<A>{};
    }
    CNNOPS_INLINE void set(int64_t at, Vec<A> first, Vec<A> second) {
      store(first_ + kBefore + at, first);
      if constexpr (Op::kSources > 1) store(second_ + kBefore + at, second);
    }
    // As many as vectors hold, or more.
    void clear(int64_t at, int64_t end) {
      for (; at < end; at += lanes<A>) set(at, Vec<A>{}, Vec<A>{});
    }

   private:
    // Of the longest row, with a zero before it.
    static constexpr int64_t kBefore = (kMostHalvedStrips + 2) * lanes<A>;

    A first_[kBefore + kRoom];
    A second_[Op::kSources > 1 ? kBefore + kRoom : 1];
  };

  HalvedWindows(const Pool2dShape& shape, const Op& op, const PoolTensors<A>& tensors)
      : op_(op),
        output_(shape.output),
        together_(can_share(shape) ? 2 : 1),
        pitch_(together_ == 2 ? lanes<A> / 2 : output_.w + 1),
        first_(static_cast<const T*>(tensors.source[0].data)),
        second_(static_cast<const Second*>(tensors.source[1].data)) {
    constexpr int64_t kHalf = lanes<A> / 2;
    for (int64_t l = 0; l < lanes<A>; ++l)
      lane_[l] = Int<A>(l < kHalf ? l : smaller(output_.w + l - kHalf, lanes<A> - 1));
    if constexpr (Op::kPrepares) {
      for (int64_t i = 0; i < divide_up(output_.w, lanes<A>); ++i) find_preparations(i);
    }
  }

  // Rows that share a vector, from one row to the next, and rows a band has room for.
  int64_t together() const { return together_; }
  int64_t pitch() const { return pitch_; }
  int64_t rows_of_band() const { return ((kRoom - 2 * lanes<A>) / pitch_ - 2) / 2 * 2; }

  // The rows [row - 1, end) of a map's windows; those outside the map are zeros.
  __attribute__((noinline)) void read(int64_t map, int64_t row, int64_t end, Band& band) const {
    const int64_t last = smaller(end, output_.h), together = together_;
    band.clear(-pitch_ - lanes<A>, row == 0 ? 0 : -pitch_);
    for (int64_t p = larger<int64_t>(0, row - 1); p < last; p += together) {
      const int64_t at = (p - row) * pitch_, window = (map * output_.h + p) * output_.w;
      const int64_t count = smaller(together, output_.h - p) * output_.w;
      for (int64_t q = 0; q < count; q += lanes<A>)
        read_vector(window + q, count - q, p, q, band, at + q);
      if (together == 1) band.clear(at + output_.w, at + pitch_);
    }
    if (last < end) band.clear((last - row) * pitch_, (end + 1 - row) * pitch_);
  }

 private:
  // Whether two rows of windows fit a vector, with a zero behind each, and a row of samples, too.
  static bool can_share(const Pool2dShape& shape) {
    return 2 * shape.output.w < lanes<A> && shape.padding.w + shape.input.w <= lanes<A>;
  }

  void find_preparations(int64_t strip) {
    const int64_t columns = lanes<A> / together_;
    for (int kind = 0; kind < kRowKinds; ++kind) {
      const int64_t row = row_of_kind(RowKind(kind), output_.h);
      for (int64_t l = 0; l < lanes<A>; ++l) {
        const int64_t column = smaller(strip * columns + l % columns, output_.w - 1);
        preparations_[kind][strip][l] = op_.preparation(row, column)[0];
      }
    }
  }

  // A vector from column q on of the row, or the two rows, p, of which `count` windows are left.
  CNNOPS_INLINE void read_vector(int64_t window, int64_t count, int64_t p, int64_t q, Band& band,
                                 int64_t at) const {
    const int64_t some = smaller(count, lanes<A>);
    fetch_page_ahead(first_ + window);
    uint16_t bits = lane_bits(some);
    Vec<A> first = load_set(first_ + window, bits, Vec<A>{}), second{};
    if constexpr (Op::kSources > 1) second = load_some_lanes<A>(second_ + window, some);
    if (together_ == 2) {
      first = pick_lanes<A>(first, first, lane_);
      second = pick_lanes<A>(second, second, lane_);
      const uint16_t low = lane_bits(output_.w), high = uint16_t(low << lanes<A> / 2);
      bits = count > output_.w ? uint16_t(low | high) : low;
    }
    if constexpr (Op::kPrepares) op_.prepare(first, second, preparation(p, q / lanes<A>));
    band.set(at, where_set<A>(bits, first, Vec<A>{}), where_set<A>(bits, second, Vec<A>{}));
  }

  CNNOPS_INLINE Vec<A> preparation(int64_t row, int64_t strip) const {
    const Vec<A> low = preparations_[kind_of_row(row, output_.h)][strip];
    if (together_ == 1) return low;
    const Vec<A> high = preparations_[kind_of_row(row + 1, output_.h)][strip];
    return where_set<A>(lane_bits(lanes<A> / 2), low, high);
  }

  const Op op_;
  const Pair output_;
  const int64_t together_, pitch_;
  const T* first_;
  const Second* second_;
  Ints<A> lane_;  // of two rows that share a vector, where every window comes from
  Vec<A> preparations_[kRowKinds][kMostHalvedStrips];
};

}  // namespace cnnops::CNNOPS_TARGET
