// How gradients of poolings reach pixels in channels_last, and read and write a vector of lanes there.
#pragma once

#include "pool2d_walk.h"

namespace cnnops::CNNOPS_TARGET {

template <class E>
struct PixelMap {
  E* data;
  Strides4 stride;

  E* at(int64_t image, int64_t row, int64_t column) const {
    return data + image * stride.n + row * stride.h + column * stride.w;
  }
};

// Whether the channels of a pixel lie side by side in all that a functor reads.
template <class Op>
bool reads_whole_pixels(const PoolTensors<typename Op::A>& tensors) {
  for (int k = 0; k < Op::kSources; ++k)
    if (tensors.source[k].stride.c != 1) return false;
  return !Op::kOwn || tensors.own.stride.c == 1;
}

// ---- a vector of lanes, of which `count` are asked for ----

// All lanes: there is room.
template <class A>
struct WholeLanes {
  template <class E>
  CNNOPS_INLINE Vec<A> read(const E* from, int64_t) const {
    return load_lanes<A>(from);
  }
  template <class T>
  CNNOPS_INLINE void write(T* to, Vec<A> value, int64_t) const {
    store(to, value);
  }
};

// The same, with results that go past the caches.
template <class A>
struct StreamedLanes : WholeLanes<A> {
  CNNOPS_INLINE void write(A* to, Vec<A> value, int64_t) const { stream(to, value); }
};

// The first `count`, if they are not all.
template <class A>
struct FirstLanes {
  template <class E>
  CNNOPS_INLINE Vec<A> read(const E* from, int64_t count) const {
    return load_some_lanes<A>(from, smaller(count, lanes<A>));
  }
  template <class T>
  CNNOPS_INLINE void write(T* to, Vec<A> value, int64_t count) const {
    store_partial(to, value, smaller(count, lanes<A>));
  }
};

}  // namespace cnnops::CNNOPS_TARGET
