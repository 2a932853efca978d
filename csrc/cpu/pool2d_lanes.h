// How the gradients of poolings read and write a vector of lanes, of which `count` are asked for.
#pragma once

#include "pool2d_tile.h"

namespace cnnops::CNNOPS_TARGET {

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
