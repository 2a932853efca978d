// A band of source rows of one map in scratch memory: widened, with zeros around the map, and split
// by residue modulo the column stride, after which a tap of consecutive results is a contiguous
// load.
#pragma once

#include "ahead.h"
#include "blocking.h"
#include "runs.h"
#include "vector_pairs.h"

namespace cnnops::CNNOPS_TARGET {

// Accumulators of a band, about half of a level-1 cache, and columns of results it serves.
inline constexpr int64_t kBandSize = 4096, kBandColumns = 512;

// Column i * stride + f of row r lies at r * pitch + f * length + i. The last vector of an array of
// `length` is room for whole stores.
struct BandLayout {
  int64_t stride, residues, length, pitch;
  int64_t rows, row_step;       // row r is source row r * row_step
  int64_t row_stride, tap_row;  // rows of the band from one result to the next, from tap to tap

  // Accumulators of a band, with room for a whole vector behind it.
  template <class A>
  int64_t size() const {
    return rows * pitch + lanes<A>;
  }
  // Where tap t of result p of a column reads: the row of the band.
  int64_t row_of(int64_t p, int64_t t) const { return p * row_stride + t * tap_row; }
  // Where a tap x columns behind the first of a result reads, relative to the result's index.
  int64_t tap_column(int64_t x) const { return x % stride * length + x / stride; }
};

// Samples from the first to the last that a result reads.
CNNOPS_INLINE int64_t tap_extent(const CorrelationAxis& axis) {
  return (axis.taps - 1) * axis.dilation + 1;
}

// The band for `rows` x `columns` results. Taps that lie apart are the only rows of a band for one
// row of results.
template <class A>
BandLayout band_layout(const Correlation& lattice, int64_t rows, int64_t columns) {
  const CorrelationAxis &h = lattice.h, &w = lattice.w;
  const int64_t extent = tap_extent(w);
  const int64_t residues = smaller(w.stride, extent);
  const int64_t length =
      round_up(round_up(columns, lanes<A>) + (extent - 1) / w.stride, lanes<A>) + lanes<A>;
  if (rows == 1) return {w.stride, residues, length, residues * length, h.taps, h.dilation, 0, 1};
  return {w.stride, residues, length,    residues * length, (rows - 1) * h.stride + tap_extent(h),
          1,        h.stride, h.dilation};
}

// Rows of results of a band, a multiple of `quantum`.
template <class A>
Blocking band_rows(const Correlation& lattice, int64_t columns, int64_t quantum) {
  const CorrelationAxis& h = lattice.h;
  const int64_t pitch = band_layout<A>(lattice, 1, columns).pitch;
  const int64_t fitting = (kBandSize / pitch - tap_extent(h)) / h.stride + 1;
  return blocking(h.count, larger(quantum, fitting - fitting % quantum), quantum);
}

// Bands of small maps that are loaded before the first of them is read: loads across the stores of
// a moment ago would have to wait for them.
template <class A>
int64_t bands_at_once(const BandLayout& layout, int64_t most) {
  return larger<int64_t>(1, smaller(most, kBandSize / layout.size<A>()));
}

// The first `count` lanes at a place behind which `room` elements lie in memory: masked loads are
// slow on some machines.
template <class T>
CNNOPS_INLINE Vec<Accumulate<T>> load_rest(const T* from, int64_t count, int64_t room) {
  using A = Accumulate<T>;
  if (room < lanes<A>) return load_partial(from, count);
  return first_lanes<A>(count) ? load(from) : Vec<A>{};
}

// The window of the source that a band shows: row r and column i are source row y + r * row_step
// and source column x + i. Both may lie outside.
struct BandPlace {
  int64_t y, x;
};

template <class T>
class Band {
 public:
  using A = Accumulate<T>;

  Band(const BandLayout& layout, A* data) : layout_(layout), data_(data) {}

  const A* row(int64_t r) const { return data_ + r * layout_.pitch; }

  // Zeros around the map, before it is loaded; they stay while maps of one size are loaded at one
  // place. They may fall on the map, and for less than a vector behind the band.
  void clear_frame(Pair size, BandPlace place) const {
    const Range inner = inside(layout_.rows, layout_.row_step, place.y, size.h);
    clear(data_, inner.first * layout_.pitch);
    for (int64_t r = inner.first; r < inner.last; ++r) {
      for (int64_t f = 0; f < layout_.residues; ++f) {
        A* to = data_ + r * layout_.pitch + f * layout_.length;
        const int64_t length = layout_.length - lanes<A>;
        const Range valid = inside(length, layout_.stride, place.x + f, size.w);
        clear(to, valid.first);
        clear(to + valid.last, length - valid.last);
      }
    }
    clear(data_ + inner.last * layout_.pitch, (layout_.rows - inner.last) * layout_.pitch);
  }

  // Every row that lies inside the map; `stride` is the source's.
  CNNOPS_INLINE void load_map(const T* map, const Strides4& stride, Pair size,
                              BandPlace place) const {
    const Range inner = inside(layout_.rows, layout_.row_step, place.y, size.h);
    const Rows rows{map + (place.y + inner.first * layout_.row_step) * stride.h,
                    layout_.row_step * stride.h,
                    stride.w,
                    inner.last - inner.first,
                    size.w,
                    (size.h - 1 - place.y - inner.first * layout_.row_step) * stride.h + size.w};
    A* to = data_ + inner.first * layout_.pitch;
    if (stride.w == 1 && layout_.stride == 1) return load_whole(rows, place.x, to);
    if (stride.w == 1 && layout_.stride == 2 && layout_.residues == 2)
      return load_halves(rows, place.x, to);
    load_any(rows, place.x, to);
  }

 private:
  // `count` zeros, mostly less than a vector, in whole vectors.
  CNNOPS_INLINE static void clear(A* to, int64_t count) {
    if (count > 0) store(to, Vec<A>{});
    if (count > lanes<A>) fill_run(to + lanes<A>, A(0), count - lanes<A>);
  }

  struct Rows {
    const T* data;
    int64_t row_step, column_step, count, columns;
    int64_t room;  // adjacent elements from the first row on
  };

  void load_any(const Rows& rows, int64_t x, A* to) const {
    const int64_t stride = layout_.stride, step = rows.column_step;
    for (int64_t f = 0; f < layout_.residues; ++f, to += layout_.length) {
      const Range valid = inside(layout_.length - lanes<A>, stride, x + f, rows.columns);
      const T* from = rows.data + (x + f + valid.first * stride) * step;
      for (int64_t r = 0; r < rows.count; ++r)
        load_run(from + r * rows.row_step, stride * step, to + r * layout_.pitch + valid.first,
                 valid.last - valid.first);
    }
  }

  CNNOPS_INLINE void load_whole(const Rows& rows, int64_t x, A* to) const {
    const int64_t lead = larger<int64_t>(0, -x), first = larger<int64_t>(0, x);
    const int64_t count = smaller(rows.columns - first, layout_.length - lanes<A> - lead);
    const int64_t pitch = layout_.pitch, whole = count - count % lanes<A>, rest = count - whole;
    if (count <= 0) return;
    const T* row = rows.data + first;
    to += lead;
    int64_t room = rows.room - first - whole;
    for (int64_t r = 0; r < rows.count;
         ++r, row += rows.row_step, room -= rows.row_step, to += pitch) {
      for (int64_t i = 0; i < count; i += kLineElements<T>) fetch_page_ahead(row + i);
      for (int64_t i = 0; i < whole; i += lanes<A>) store(to + i, load(row + i));
      if (rest > 0) store(to + whole, load_rest(row + whole, rest, room));
    }
  }

  // Two vectors at a time, split into their even and odd columns.
  CNNOPS_INLINE void load_halves(const Rows& rows, int64_t x, A* to) const {
    const int64_t lead = larger<int64_t>(0, -x), first = larger<int64_t>(0, x);
    const int64_t count = smaller(rows.columns - first, 2 * (layout_.length - lanes<A>)-lead);
    const int64_t pitch = layout_.pitch, whole = count - count % (2 * lanes<A>);
    const int64_t rest_left = smaller(count - whole, lanes<A>),
                  rest_right = count - whole - rest_left;
    if (count <= 0) return;
    A* even_to = to + lead % 2 * layout_.length + lead / 2;
    A* odd_to = to + (lead + 1) % 2 * layout_.length + (lead + 1) / 2;
    const T* row = rows.data + first;
    int64_t room = rows.room - first - whole;
    for (int64_t r = 0; r < rows.count;
         ++r, row += rows.row_step, room -= rows.row_step, even_to += pitch, odd_to += pitch) {
      for (int64_t i = 0; i < count; i += kLineElements<T>) fetch_page_ahead(row + i);
      for (int64_t i = 0; i < whole; i += 2 * lanes<A>) {
        const Vec<A> a = load(row + i), b = load(row + i + lanes<A>);
        store(even_to + i / 2, even<A>(a, b));
        store(odd_to + i / 2, odd<A>(a, b));
      }
      if (rest_left == 0) continue;
      const Vec<A> a = load_rest(row + whole, rest_left, room);
      const Vec<A> b = rest_right > 0
                           ? load_rest(row + whole + lanes<A>, rest_right, room - lanes<A>)
                           : Vec<A>{};
      store(even_to + whole / 2, even<A>(a, b));
      store(odd_to + whole / 2, odd<A>(a, b));
    }
  }

  const BandLayout& layout_;
  A* const data_;
};

}  // namespace cnnops::CNNOPS_TARGET
