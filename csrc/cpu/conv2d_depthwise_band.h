// A band of source rows of one map in scratch memory: widened, with zeros around the map, and split
// by residue modulo the column stride, after which a tap of consecutive results is a contiguous
// load.
#pragma once

#include "blocking.h"
#include "runs.h"
#include "vector_pairs.h"

namespace cnnops::CNNOPS_TARGET {

// Accumulators of a band, about half of a level-1 cache, and columns of results it serves.
inline constexpr int64_t kBandSize = 4096, kBandColumns = 512;

// Column i * stride + f of row r lies at r * pitch + f * length + i.
struct BandLayout {
  int64_t stride, residues, length, pitch;
  int64_t rows, row_step;       // row r is source row r * row_step
  int64_t row_stride, tap_row;  // rows of the band from one result to the next, from tap to tap

  int64_t size() const { return rows * pitch; }
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
  const int64_t length = round_up(round_up(columns, lanes<A>) + (extent - 1) / w.stride, lanes<A>);
  if (rows == 1)
    return {w.stride, residues, length, residues * length, h.taps, h.dilation, 0, 1};
  return {w.stride, residues, length, residues * length, (rows - 1) * h.stride + tap_extent(h), 1,
          h.stride, h.dilation};
}

// Rows of results of a band, a multiple of `quantum`.
template <class A>
Blocking band_rows(const Correlation& lattice, int64_t columns, int64_t quantum) {
  const CorrelationAxis& h = lattice.h;
  const int64_t pitch = band_layout<A>(lattice, 1, columns).pitch;
  const int64_t fitting = (kBandSize / pitch - tap_extent(h)) / h.stride + 1;
  return blocking(h.count, larger(quantum, fitting - fitting % quantum), quantum);
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

  // Zeros around the map; they stay while maps of one size are loaded at one place.
  void clear_frame(Pair size, BandPlace place) const {
    const Range inner = inside(layout_.rows, layout_.row_step, place.y, size.h);
    fill_run(data_, A(0), inner.first * layout_.pitch);
    for (int64_t r = inner.first; r < inner.last; ++r) {
      for (int64_t f = 0; f < layout_.residues; ++f) {
        A* to = data_ + r * layout_.pitch + f * layout_.length;
        const Range valid = inside(layout_.length, layout_.stride, place.x + f, size.w);
        fill_run(to, A(0), valid.first);
        fill_run(to + valid.last, A(0), layout_.length - valid.last);
      }
    }
    fill_run(data_ + inner.last * layout_.pitch, A(0),
             (layout_.rows - inner.last) * layout_.pitch);
  }

  // Every row that lies inside the map; `stride` is the source's.
  void load_map(const T* map, const Strides4& stride, Pair size, BandPlace place) const {
    const Range inner = inside(layout_.rows, layout_.row_step, place.y, size.h);
    for (int64_t r = inner.first; r < inner.last; ++r) {
      load_row(map + (place.y + r * layout_.row_step) * stride.h, stride.w, size.w, place.x,
               data_ + r * layout_.pitch);
    }
  }

 private:
  CNNOPS_INLINE void load_row(const T* row, int64_t step, int64_t columns, int64_t x,
                              A* to) const {
    if (step == 1 && layout_.stride == 1) return load_whole(row, columns, x, to);
    if (step == 1 && layout_.stride == 2 && layout_.residues == 2)
      return load_halves(row, columns, x, to);
    for (int64_t f = 0; f < layout_.residues; ++f, to += layout_.length) {
      const Range valid = inside(layout_.length, layout_.stride, x + f, columns);
      load_run(row + (x + f + valid.first * layout_.stride) * step, layout_.stride * step,
               to + valid.first, valid.last - valid.first);
    }
  }

  CNNOPS_INLINE void load_whole(const T* row, int64_t columns, int64_t x, A* to) const {
    const int64_t lead = larger<int64_t>(0, -x), first = larger<int64_t>(0, x);
    const int64_t room = layout_.length - lead, count = smaller(columns - first, room);
    row += first, to += lead;
    int64_t i = 0;
    for (; i + lanes<A> <= count; i += lanes<A>) store(to + i, load(row + i));
    if (i >= count) return;
    const Vec<A> rest = load_partial(row + i, count - i);  // with zeros, as lie behind the map
    if (i + lanes<A> <= room) {
      store(to + i, rest);
    } else {
      store_partial(to + i, rest, count - i);
    }
  }

  // Two vectors at a time, split into their even and odd columns.
  CNNOPS_INLINE void load_halves(const T* row, int64_t columns, int64_t x, A* to) const {
    const int64_t lead = larger<int64_t>(0, -x), first = larger<int64_t>(0, x);
    const int64_t count = smaller(columns - first, 2 * layout_.length - lead);
    A* halves[2] = {to + lead % 2 * layout_.length + lead / 2,
                    to + (lead + 1) % 2 * layout_.length + (lead + 1) / 2};
    const T* from = row + first;
    int64_t i = 0;
    for (; i + 2 * lanes<A> <= count; i += 2 * lanes<A>) {
      const Vec<A> a = load(from + i), b = load(from + i + lanes<A>);
      store(halves[0] + i / 2, even<A>(a, b));
      store(halves[1] + i / 2, odd<A>(a, b));
    }
    const int64_t rest = count - i;
    if (rest <= 0) return;
    const Vec<A> a = load_partial(from + i, smaller(rest, lanes<A>));
    const Vec<A> b = rest > lanes<A> ? load_partial(from + i + lanes<A>, rest - lanes<A>) : Vec<A>{};
    store_partial(halves[0] + i / 2, even<A>(a, b), (rest + 1) / 2);
    store_partial(halves[1] + i / 2, odd<A>(a, b), rest / 2);
  }

  const BandLayout layout_;
  A* const data_;
};

}  // namespace cnnops::CNNOPS_TARGET
