// The maps of a tensor, as vectors that hang over both ends of a map may read them.
#pragma once

#include "operands.h"
#include "shifts.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class ReadableMaps {
 public:
  // All maps have this stride; vectors read so many elements before and behind one.
  ReadableMaps(const Conv2dShape& shape, const Strides4& stride, int64_t margin)
      : stride_(stride),
        width_(shape.input.w),
        size_(shape.input.h * shape.input.w),
        elements_(shape.batch * shape.groups * size_),
        margin_(margin),
        is_dense_(is_dense(stride, shape.groups, shape.input)) {}

  // Room for a copy.
  T* take(Arena& arena) const { return arena.take<T>(size_ + 2 * margin_); }

  // Where a map lies in the tensor, or in a copy.
  const T* map(const T* tensor, const MapIndex& index, T* copy) const {
    const T* const samples = tensor + at(stride_, index.image, index.channel, 0, 0);
    const int64_t first = (index.image * index.channels + index.channel) * size_;
    const bool has_room = first >= margin_ && first + size_ + margin_ <= elements_;
    if (is_dense_ && has_room) return samples;
    for (int64_t i = 0; i < size_; ++i)
      copy[margin_ + i] = samples[i / width_ * stride_.h + i % width_ * stride_.w];
    return copy + margin_;
  }

 private:
  const Strides4 stride_;
  const int64_t width_, size_, elements_, margin_;
  const bool is_dense_;
};

}  // namespace cnnops::CNNOPS_TARGET
