// What kernels read a vector of samples at a time, at an element offset, with any step between the
// samples (0 repeats one sample).
#pragma once

#include "runs.h"

namespace cnnops::CNNOPS_TARGET {

// The element offset of a sample.
CNNOPS_INLINE int64_t at(const Strides4& stride, int64_t n, int64_t c, int64_t h, int64_t w) {
  return n * stride.n + c * stride.c + h * stride.h + w * stride.w;
}

template <class T>
struct Values {
  using A = Accumulate<T>;
  const T* data;
  Strides4 stride;

  CNNOPS_INLINE Vec<A> fetch(int64_t at, int64_t step, int64_t count) const {
    if (step == 0) return splat<A>(load_scalar(data + at));
    if (step == 1) return count == lanes<A> ? load(data + at) : load_partial(data + at, count);
    Vec<A> value{};
    for (int64_t i = 0; i < count; ++i) value[i] = load_scalar(data + at + i * step);
    return value;
  }
};

}  // namespace cnnops::CNNOPS_TARGET
