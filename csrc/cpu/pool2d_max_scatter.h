// The gradient of max pooling in float32 or float64 by one addition a window, which is fewer than the
// fold's one a window and sample: a task clears its maps and adds each window's gradient to the sample
// that won. That is one contiguous map, or four small ones, or an image in channels_last whose channels
// would not fill the fold's vectors. Windows are taken in order, so that nothing depends on threads.
// Half types have no sums of their own in memory and stay with the fold.
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
        is_small_(maps_ == 1 && shape_.output.h * shape_.output.w <= kTabledWindows &&
                  gradient_stride_.h == shape_.output.w * gradient_stride_.w &&
                  offset_stride_.h == shape_.output.w * offset_stride_.w) {
    if constexpr (kTabled) {
      for (int64_t i = 0; i < kSmallWindow; ++i) distances_[i] = computed_distance(i);
    }
    if (is_small_) table_first_samples();
  }

  void run(const Execution& execution) const {
    if (is_small_) return scatter_small_maps(execution);
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
  // So many maps in turn: to add to a sample that was just stored takes as long as several other additions.
  static constexpr int kTogether = 4;

  void scatter_small_maps(const Execution& execution) const {
    const int64_t maps = shape_.batch * shape_.channels;
    parallel(execution, divide_up(maps, kTogether), [&](int64_t task, int64_t) {
      int64_t map = task * kTogether;
      if (map + kTogether <= maps) return scatter_together<kTogether>(map);
      for (; map < maps; ++map) scatter_together<1>(map);
    });
  }

  template <int kMaps>
  void scatter_together(int64_t map) const {
    const int64_t size = shape_.input.h * shape_.input.w;
    const int64_t next_gradient = gradient_stride_.w, next_offset = offset_stride_.w;
    const A* gradients[kMaps];
    const Offset* offsets[kMaps];
    A* maps[kMaps];
    for (int m = 0; m < kMaps; ++m) {
      const int64_t image = (map + m) / shape_.channels, channel = (map + m) % shape_.channels;
      gradients[m] = gradients_ + image * gradient_stride_.n + channel * gradient_stride_.c;
      offsets[m] = offsets_ + image * offset_stride_.n + channel * offset_stride_.c;
      maps[m] = result_ + (map + m) * size;
    }
    clear(maps[0], kMaps * size);
    const int64_t count = shape_.output.h * shape_.output.w;
    for (int64_t window = 0; window < count; ++window) {
      const int64_t first = first_samples_[window];
#pragma GCC unroll 4
      for (int m = 0; m < kMaps; ++m)
        add(gradients[m][window * next_gradient],
            first + distance(offsets[m][window * next_offset]), size, maps[m]);
    }
  }

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
    for (int64_t p = 0; p < shape_.output.h; ++p)
      scatter_row(gradients + p * gradient_stride_.h, offsets + p * offset_stride_.h,
                  first_sample(p, 0), map);
  }

  // A row of windows, from its first sample on.
  void scatter_row(const A* gradients, const Offset* offsets, int64_t first, A* map) const {
    if (gradient_stride_.w == 1 && offset_stride_.w == 1) {
      scatter_row(gradients, 1, offsets, 1, first, map);
    } else {
      scatter_row(gradients, gradient_stride_.w, offsets, offset_stride_.w, first, map);
    }
  }
  CNNOPS_INLINE void scatter_row(const A* gradients, int64_t next_gradient, const Offset* offsets,
                                 int64_t next_offset, int64_t first, A* map) const {
    const int64_t size = shape_.input.h * shape_.input.w * maps_, step = shape_.stride.w * maps_;
#pragma GCC unroll 4
    for (int64_t q = 0; q < shape_.output.w; ++q)
      add(gradients[q * next_gradient], first + q * step + distance(offsets[q * next_offset]), size,
          map);
  }

  // An offset that leads out of the map was not made by a forward pass, and adds nothing.
  CNNOPS_INLINE static void add(A gradient, int64_t sample, int64_t size, A* map) {
    if (uint64_t(sample) < uint64_t(size)) map[sample] += gradient;
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
  // Contiguous maps whose few windows lie in one run: the first sample of each.
  bool is_small_;
  int64_t first_samples_[kTabledWindows];
};

}  // namespace cnnops::CNNOPS_TARGET
