// The implicit matrix product with channels in vectors where the rows of windows are runs of samples
// that neighbours share: a task copies the rows it meets (window_rows.h) and gathers nothing. The
// order of a sum is that of gathered patches.
#pragma once

#include "implicit_gemm_channel_sums.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class WindowRows {
 public:
  using A = Accumulate<T>;

  static void run(const CorrelationOperands<T>& operands, const Correlation& lattice,
                  const PackedFilter<A>& filter, const CorrelationTask& task,
                  const CorrelationTask&, const CorrelationScratch<T>& scratch) {
    const ChannelSums<T> sums(operands, lattice, task, scratch);
    for (int64_t image = 0; image < task.images; ++image) {
      const PatchSource<T> source = patch_source(operands, lattice, task, image);
      const WindowRows call(source, filter, task, sums, scratch.patches);
      call.run(image);
    }
  }

 private:
  WindowRows(const PatchSource<T>& source, const PackedFilter<A>& filter,
             const CorrelationTask& task, const ChannelSums<T>& sums, A* rows)
      : source_(source),
        filter_(filter),
        task_(task),
        sums_(sums),
        rows_(rows),
        window_(source.lattice.w.taps * source.channels),
        step_(source.lattice.w.stride * source.channels),
        length_(window_row(source.lattice.w, source.channels)) {}

  // A task has whole rows of pixels of an image. Sums that are transposed are written every few
  // tiles, in whole vectors of pixels, so that stores wait for their lines while the next are multiplied.
  void run(int64_t image) const {
    const CorrelationAxis &h = source_.lattice.h, &w = source_.lattice.w;
    const int64_t first = task_.first_pixel / w.count, rows = task_.pixels / w.count;
    const int64_t some = round_up(2 * kTileRows, lanes<A>);
    const int64_t most = sums_.are_transposed() ? some : w.count;
    copy_window_rows(source_, first, rows, rows_);
    Range pixels{0, 0};
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < w.count; j += most) {
        const int64_t count = smaller(most, w.count - j), place = i * w.count + j;
        multiply_run(rows_ + i * h.stride * length_ + j * step_, image * task_.pixels + place,
                     count);
        pixels.last = (place + count) / lanes<A> * lanes<A>;
        sums_.write(image, pixels);
        pixels.first = pixels.last;
      }
    }
    sums_.write(image, {pixels.last, task_.pixels});
  }

  // `count` pixels of a row from the task's one at `place` on. Blocks of k hold whole rows of the
  // filter.
  void multiply_run(const A* rows, int64_t place, int64_t count) const {
    for (int64_t k = 0; k < filter_.depth; k += filter_.block) {
      Product<A> product = sums_.product(filter_, k, place, count);
      product.depth = window_;
      product.pieces = filter_.depth_from(k) / window_;
      product.scalars = rows + k / window_ * length_;
      product.scalar_panel = kTileRows * step_;
      product.scalar_row = step_;
      product.scalar_piece = length_;
      product.scalar_depth = 1;
      if (k == 0) product.ahead = results_ahead(place);
      multiply<A>(product);
    }
  }

  // The results behind those of a first tile: so short a sum waits for the memory it is written to.
  Ahead results_ahead(int64_t place) const {
    Ahead ahead;
    if (sums_.are_in_result()) {
      ahead.add(sums_.at(place) + kTileRows * kTileColumns<A>,
                source_.lattice.w.count * sums_.row());
    }
    return ahead;
  }

  const PatchSource<T> source_;
  const PackedFilter<A>& filter_;
  const CorrelationTask& task_;
  const ChannelSums<T>& sums_;
  A* rows_;
  int64_t window_;  // elements of a window's row
  int64_t step_;    // from a window to the next
  int64_t length_;  // of a row
};

}  // namespace cnnops::CNNOPS_TARGET
