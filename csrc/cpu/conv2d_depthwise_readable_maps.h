// The maps of a tensor, as vectors that hang over both ends of a map may read them.
#pragma once

#include "operands.h"
#include "shifts.h"

namespace cnnops::CNNOPS_TARGET {

// Whether maps are contiguous, and vectors wide enough that reading them so is faster than from bands.
inline bool can_read_maps(const Conv2dProblem& problem) {
  return !problem.channels_last && CNNOPS_VECTOR_BYTES > 16;
}

// Whether a filter is square, of so many taps so far apart, and starts one sample before the map.
inline bool has_size(const Conv2dShape& shape, int64_t kernel, int64_t stride) {
  const auto is = [](Pair pair, int64_t value) { return pair.h == value && pair.w == value; };
  return is(shape.kernel, kernel) && is(shape.stride, stride) && is(shape.dilation, 1) &&
         shape.padding.top == 1 && shape.padding.left == 1;
}

template <class T>
class ReadableMaps {
 public:
  // All maps have this size and stride; vectors read so many elements before and behind one.
  ReadableMaps(const Conv2dShape& shape, Pair map, const Strides4& stride, int64_t margin)
      : stride_(stride),
        width_(map.w),
        size_(map.h * map.w),
        elements_(shape.batch * shape.groups * size_),
        margin_(margin),
        is_dense_(is_dense(stride, shape.groups, map)) {}

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
