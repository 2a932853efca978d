// Products of contiguous maps, summed in vectors of columns.
#pragma once

#include "conv2d_depthwise_band.h"
#include "conv2d_depthwise_products.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class MapProducts {
 public:
  using A = Accumulate<T>;

  static constexpr int64_t kChannels = lanes<A>;  // of a block, at most

  explicit MapProducts(const DepthwiseProducts<T>& operands)
      : operands_(operands),
        columns_(blocking(operands.lattice.w.count, kBandColumns, lanes<A>)),
        rows_(band_rows<A>(operands.lattice, columns_.size, 1)),
        layout_(band_layout<A>(operands.lattice, rows_.size, columns_.size)),
        stack_(bands_at_once<A>(layout_, lanes<A>)) {}

  // Scratch memory of one thread: bands, and the sums of [channel][tap], a vector each.
  struct Scratch {
    A *bands, *sums;
  };
  Scratch take(Arena& arena) const {
    return {arena.take<A>(stack_ * layout_.size<A>()), arena.take<A>(lanes<A> * taps() * lanes<A>)};
  }

  void add(const ProductBlock& block, const Scratch& scratch, const TapSums<A>& to) const {
    fill_run(scratch.sums, A(0), block.count * taps() * lanes<A>);
    for (int64_t p = 0; p < operands_.lattice.h.count; p += rows_.size) {
      for (int64_t q = 0; q < operands_.lattice.w.count; q += columns_.size)
        add_window(block, p, q, scratch);
    }
    to.add(scratch.sums, block.count, taps());
  }

 private:
  int64_t taps() const { return operands_.shape.kernel.h * operands_.shape.kernel.w; }

  // Adds the rows and columns of all maps that start at (p, q) of grad_output.
  void add_window(const ProductBlock& block, int64_t p, int64_t q, const Scratch& scratch) const {
    const CorrelationAxis &h = operands_.lattice.h, &w = operands_.lattice.w;
    const Values<T>&input = operands_.input, &grad_output = operands_.grad_output;
    const Pair source{h.source, w.source};
    const BandPlace place{p * h.stride + h.offset, q * w.stride + w.offset};
    for (int64_t i = 0; i < smaller(stack_, block.count); ++i)
      band(scratch, i).clear_frame(source, place);
    const Pair size{smaller(rows_.size, h.count - p), smaller(columns_.size, w.count - q)};
    const auto offset = [&](int64_t r, int64_t s) {
      return layout_.row_of(0, r) * layout_.pitch + layout_.tap_column(s * w.dilation);
    };
    for (int64_t image = block.images.first; image < block.images.last; ++image) {
      for (int64_t stack = 0; stack < block.count; stack += stack_) {
        const int64_t end = smaller(block.count, stack + stack_);
        for (int64_t i = stack; i < end; ++i) {
          band(scratch, i - stack)
              .load_map(input.data + at(input.stride, image, block.channel + i, 0, 0), input.stride,
                        source, place);
        }
        visit_taps({0, h.taps}, {0, w.taps}, w.taps, offset, [&](const TapList& list) {
          for (int64_t i = stack; i < end; ++i) {
            multiply(band(scratch, i - stack),
                     at(grad_output.stride, image, block.channel + i, p, q), size, list,
                     scratch.sums + i * taps() * lanes<A>);
          }
        });
      }
    }
  }

  Band<T> band(const Scratch& scratch, int64_t index) const {
    return {layout_, scratch.bands + index * layout_.size<A>()};
  }

  void multiply(const Band<T>& band, int64_t gradient, Pair size, const TapList& list,
                A* totals) const {
    const Strides4& stride = operands_.grad_output.stride;
    const A* row = band.row(0);
    const int64_t row_step = layout_.row_of(1, 0) * layout_.pitch;
    Vec<A> sums[kTapsAtOnce];
    for (int64_t k = 0; k < kTapsAtOnce; ++k) sums[k] = Vec<A>{};
    if (stride.w == 1) {
      add_rows(row, row_step, operands_.grad_output.data + gradient, stride.h, size, list, sums);
    } else {
      for (int64_t p = 0; p < size.h; ++p, row += row_step, gradient += stride.h) {
        for (int64_t q = 0; q < size.w; q += lanes<A>) {
          const int64_t count = smaller(lanes<A>, size.w - q);
          const Vec<A> grad = operands_.grad_output.fetch(gradient + q * stride.w, stride.w, count);
          const Ints<A> counts = first_lanes<A>(count);
          add_rest(row + q, counts ? grad : Vec<A>{}, counts, list, sums);
        }
      }
    }
    for (int64_t k = 0; k < list.count; ++k) {
      A* total = totals + list.index[k] * lanes<A>;
      store(total, load(total) + sums[k]);
    }
  }

  // Rows of adjacent gradients.
  CNNOPS_INLINE static void add_rows(const A* row, int64_t row_step, const T* gradient,
                                     int64_t gradient_step, Pair size, const TapList& list,
                                     Vec<A>* totals) {
    const int64_t whole = size.w - size.w % lanes<A>, rest = size.w - whole;
    const Ints<A> counts = first_lanes<A>(rest);
    int64_t offset[kTapsAtOnce];
    Vec<A> sums[kTapsAtOnce];
#pragma GCC unroll 16
    for (int64_t k = 0; k < kTapsAtOnce; ++k) offset[k] = list.offset[k], sums[k] = totals[k];
    int64_t room = (size.h - 1) * gradient_step + rest;
    for (int64_t p = 0; p < size.h;
         ++p, row += row_step, gradient += gradient_step, room -= gradient_step) {
      for (int64_t q = 0; q < whole; q += lanes<A>) {
        const Vec<A> grad = load(gradient + q);
#pragma GCC unroll 16
        for (int64_t k = 0; k < kTapsAtOnce; ++k)
          sums[k] = multiply_add<A>(load(row + q + offset[k]), grad, sums[k]);
      }
      if (rest > 0)
        add_rest(row + whole, load_rest(gradient + whole, rest, room), counts, list, sums);
    }
#pragma GCC unroll 16
    for (int64_t k = 0; k < kTapsAtOnce; ++k) totals[k] = sums[k];
  }

  // Lanes behind the last column count on neither side: the input may be infinite there.
  CNNOPS_INLINE static void add_rest(const A* from, Vec<A> grad, Ints<A> counts,
                                     const TapList& list, Vec<A>* sums) {
#pragma GCC unroll 16
    for (int64_t k = 0; k < kTapsAtOnce; ++k)
      sums[k] = multiply_add<A>(counts ? load(from + list.offset[k]) : Vec<A>{}, grad, sums[k]);
  }

  const DepthwiseProducts<T> operands_;
  const Blocking columns_, rows_;
  const BandLayout layout_;
  const int64_t stack_;  // maps in scratch memory at once
};

}  // namespace cnnops::CNNOPS_TARGET
