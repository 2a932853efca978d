// The gradient of max pooling in float32 or float64 by one addition a window, which is fewer than the
// fold's one a window and sample: a task clears its maps and adds each window's gradient to the sample
// that won. That is one contiguous map, or an image in channels_last whose channels would not fill the
// fold's vectors. Windows are taken in order, so that nothing depends on threads. Half types have no
// sums of their own in memory and stay with the fold.
#pragma once

#include "ahead.h"
#include "runs.h"

namespace cnnops::CNNOPS_TARGET {

template <class A, class Offset>
class MaxScatter {
 public:
  MaxScatter(const Pool2dProblem& problem, const MaxPool2dTensors& tensors)
      : shape_(problem.shape),
        maps_(problem.channels_last ? shape_.channels : 1),
        gradients_(static_cast<const A*>(tensors.values.data)),
        gradient_stride_(tensors.values.stride),
        offsets_(static_cast<const Offset*>(tensors.offsets.data)),
        offset_stride_(tensors.offsets.stride),
        result_(static_cast<A*>(tensors.result.data)),
        has_first_samples_(shape_.output.h * shape_.output.w <= kTabledWindows &&
                           gradient_stride_.h == shape_.output.w * gradient_stride_.w &&
                           offset_stride_.h == shape_.output.w * offset_stride_.w) {
    if constexpr (kTabled) {
      for (int64_t i = 0; i < kSmallWindow; ++i) distances_[i] = computed_distance(i);
    }
    if (has_first_samples_) table_first_samples();
  }

  void run(const Execution& execution) const {
    const int64_t size = maps_ * shape_.input.h * shape_.input.w;
    parallel(execution, shape_.batch * shape_.channels / maps_, [&](int64_t task, int64_t) {
      A* const maps = result_ + task * size;
      clear(maps, size);
      for (int64_t m = 0; m < maps_; ++m) {
        const int64_t map = task * maps_ + m;
        scatter_map(map / shape_.channels, map % shape_.channels, maps + m);
      }
    });
  }

 private:
  void table_first_samples() {
    for (int64_t p = 0; p < shape_.output.h; ++p)
      for (int64_t q = 0; q < shape_.output.w; ++q)
        first_samples_[p * shape_.output.w + q] = first_sample(p, q);
  }

  // Fetches the maps behind, which are written next.
  static void clear(A* maps, int64_t size) {
    int64_t i = 0;
    for (; i + lanes<A> <= size; i += lanes<A>) {
      fetch_page_ahead_to_write(maps + i);
      store(maps + i, Vec<A>{});
    }
    fill_run(maps + i, A(0), size - i);
  }

  // A map's samples lie maps_ elements apart.
  void scatter_map(int64_t image, int64_t channel, A* map) const {
    const A* gradients = gradients_ + image * gradient_stride_.n + channel * gradient_stride_.c;
    const Offset* offsets = offsets_ + image * offset_stride_.n + channel * offset_stride_.c;
    if (has_first_samples_) {
      return scatter_windows(gradients, offsets, shape_.output.h * shape_.output.w, map,
                             [&](int64_t window) { return first_samples_[window]; });
    }
    const int64_t step = shape_.stride.w * maps_;
    for (int64_t p = 0; p < shape_.output.h; ++p) {
      const int64_t first = first_sample(p, 0);
      scatter_windows(gradients + p * gradient_stride_.h, offsets + p * offset_stride_.h,
                      shape_.output.w, map, [&](int64_t q) { return first + q * step; });
    }
  }

  // Windows whose first samples are first(window).
  template <class First>
  void scatter_windows(const A* gradients, const Offset* offsets, int64_t count, A* map,
                       First first) const {
    if (gradient_stride_.w == 1 && offset_stride_.w == 1) {
      scatter_run(gradients, 1, offsets, 1, count, map, first);
    } else {
      scatter_run(gradients, gradient_stride_.w, offsets, offset_stride_.w, count, map, first);
    }
  }

  // An offset that leads out of the map was not made by a forward pass, and adds nothing.
  template <class First>
  CNNOPS_INLINE void scatter_run(const A* gradients, int64_t next_gradient, const Offset* offsets,
                                 int64_t next_offset, int64_t count, A* map, First first) const {
    const uint64_t size = uint64_t(shape_.input.h * shape_.input.w * maps_);
#pragma GCC unroll 4
    for (int64_t window = 0; window < count; ++window) {
      const uint64_t sample = uint64_t(first(window) + distance(*offsets));
      if (sample < size) map[sample] += *gradients;
      offsets += next_offset;
      gradients += next_gradient;
    }
  }

  // Where a window begins in a map.
  int64_t first_sample(int64_t p, int64_t q) const {
    return ((p * shape_.stride.h - shape_.padding.h) * shape_.input.w + q * shape_.stride.w -
            shape_.padding.w) *
           maps_;
  }

  // From a window's first sample to the one at an offset.
  int64_t distance(Offset offset) const {
    if constexpr (kTabled) {
      return distances_[offset];
    } else {
      return computed_distance(offset);
    }
  }
  int64_t computed_distance(int64_t offset) const {
    return (offset / shape_.kernel.w * shape_.input.w + offset % shape_.kernel.w) * maps_;
  }

  static constexpr int64_t kTabledWindows = 256;
  static constexpr bool kTabled = sizeof(Offset) == 1;
  const Pool2dShape shape_;
  int64_t maps_;  // of a task
  const A* gradients_;
  Strides4 gradient_stride_;
  const Offset* offsets_;
  Strides4 offset_stride_;
  A* result_;
  int64_t distances_[kTabled ? kSmallWindow : 1];
  // Of small maps whose windows lie in one run: that of every window.
  bool has_first_samples_;
  int64_t first_samples_[kTabledWindows];
};

}  // namespace cnnops::CNNOPS_TARGET
