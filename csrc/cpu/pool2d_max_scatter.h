// The gradient of max pooling in contiguous maps of float32 or float64: a task clears a map and adds
// each window's gradient to the sample that won. A map is one thread's, and its windows are taken in
// order, so that nothing depends on threads. One addition a window is fewer than the fold's one a
// window and sample; half types have no sums of their own in memory and stay with the fold.
#pragma once

#include "runs.h"

namespace cnnops::CNNOPS_TARGET {

template <class A, class Offset>
class MaxScatter {
 public:
  MaxScatter(const Pool2dShape& shape, const MaxPool2dTensors& tensors)
      : shape_(shape),
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
    parallel(execution, shape_.batch * shape_.channels, [&](int64_t map, int64_t) {
      scatter_map(map / shape_.channels, map % shape_.channels,
                  result_ + map * shape_.input.h * shape_.input.w);
    });
  }

 private:
  void scatter_map(int64_t image, int64_t channel, A* map) const {
    fill_run(map, A(0), shape_.input.h * shape_.input.w);
    const A* gradients = gradients_ + image * gradient_stride_.n + channel * gradient_stride_.c;
    const Offset* offsets = offsets_ + image * offset_stride_.n + channel * offset_stride_.c;
    for (int64_t p = 0; p < shape_.output.h; ++p) {
      const int64_t first =
          (p * shape_.stride.h - shape_.padding.h) * shape_.input.w - shape_.padding.w;
      scatter_row(gradients + p * gradient_stride_.h, offsets + p * offset_stride_.h, map, first);
    }
  }

  // `first` is where the row's first window begins in the map. An offset that leads out of the map
  // was not made by a forward pass, and adds nothing.
  void scatter_row(const A* gradients, const Offset* offsets, A* map, int64_t first) const {
    const uint64_t size = uint64_t(shape_.input.h * shape_.input.w);
    for (int64_t q = 0; q < shape_.output.w; ++q, first += shape_.stride.w) {
      const uint64_t sample = uint64_t(first + distance(offsets[q * offset_stride_.w]));
      if (sample < size) map[sample] += gradients[q * gradient_stride_.w];
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
    return offset / shape_.kernel.w * shape_.input.w + offset % shape_.kernel.w;
  }

  static constexpr bool kTabled = sizeof(Offset) == 1;
  const Pool2dShape shape_;
  const A* gradients_;
  Strides4 gradient_stride_;
  const Offset* offsets_;
  Strides4 offset_stride_;
  A* result_;
  int64_t distances_[kTabled ? kSmallWindow : 1];
};

}  // namespace cnnops::CNNOPS_TARGET
