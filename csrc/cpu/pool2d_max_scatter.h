// The gradient of max pooling in float32 or float64 by one addition a window, which is fewer than the
// fold's one a window and sample: a task clears its maps and adds each window's gradient to the sample
// that won. That is one contiguous map, or an image in channels_last whose channels would not fill the
// fold's vectors. Windows are taken in order, so that nothing depends on threads. Half types have no
// sums of their own in memory and stay with the fold.
#pragma once

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
        result_(static_cast<A*>(tensors.result.data)) {
    if constexpr (kTabled) {
      for (int64_t i = 0; i < kSmallWindow; ++i) distances_[i] = computed_distance(i);
    }
  }

  void run(const Execution& execution) const {
    const int64_t size = maps_ * shape_.input.h * shape_.input.w;
    parallel(execution, shape_.batch * shape_.channels / maps_, [&](int64_t task, int64_t) {
      A* const maps = result_ + task * size;
      fill_run(maps, A(0), size);
      for (int64_t m = 0; m < maps_; ++m) {
        const int64_t map = task * maps_ + m;
        scatter_map(map / shape_.channels, map % shape_.channels, maps + m);
      }
    });
  }

 private:
  // A map's samples lie maps_ elements apart.
  void scatter_map(int64_t image, int64_t channel, A* map) const {
    const A* gradients = gradients_ + image * gradient_stride_.n + channel * gradient_stride_.c;
    const Offset* offsets = offsets_ + image * offset_stride_.n + channel * offset_stride_.c;
    for (int64_t p = 0; p < shape_.output.h; ++p) {
      const int64_t first =
          (p * shape_.stride.h - shape_.padding.h) * shape_.input.w - shape_.padding.w;
      scatter_row(gradients + p * gradient_stride_.h, offsets + p * offset_stride_.h, map,
                  first * maps_);
    }
  }

  // `first` is where the row's first window begins in the map. An offset that leads out of the map
  // was not made by a forward pass, and adds nothing.
  void scatter_row(const A* gradients, const Offset* offsets, A* map, int64_t first) const {
    const uint64_t size = uint64_t(shape_.input.h * shape_.input.w * maps_);
    const int64_t windows = shape_.output.w, step = shape_.stride.w * maps_;
    const int64_t next_offset = offset_stride_.w, next_gradient = gradient_stride_.w;
#pragma GCC unroll 4
    for (int64_t q = 0; q < windows; ++q) {
      const uint64_t sample = uint64_t(first + distance(*offsets));
      if (sample < size) map[sample] += *gradients;
      first += step;
      offsets += next_offset;
      gradients += next_gradient;
    }
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

  static constexpr bool kTabled = sizeof(Offset) == 1;
  const Pool2dShape shape_;
  int64_t maps_;  // of a task
  const A* gradients_;
  Strides4 gradient_stride_;
  const Offset* offsets_;
  Strides4 offset_stride_;
  A* result_;
  int64_t distances_[kTabled ? kSmallWindow : 1];
};

}  // namespace cnnops::CNNOPS_TARGET
