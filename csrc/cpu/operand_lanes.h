// What a window operation reads and writes, a vector or a run of samples at a time.
//
// An operand is read at an element offset with a step between samples (0 repeats one sample: a
// value all channels share). Integer operands travel through Vec<A> as the bits of Ints<A>.
#pragma once

#include "runs.h"

namespace cnnops::CNNOPS_TARGET {

// The element offset of a sample.
CNNOPS_INLINE int64_t at(const Strides4& stride, int64_t n, int64_t c, int64_t h, int64_t w) {
  return n * stride.n + c * stride.c + h * stride.h + w * stride.w;
}

// Floating-point samples; `outside` stands for those beyond the map.
template <class T>
struct Values {
  using A = Accumulate<T>;
  const T* data;
  Strides4 stride;
  A outside;

  CNNOPS_INLINE Vec<A> fetch(int64_t at, int64_t step, int64_t count) const {
    if (step == 0) return splat<A>(load_scalar(data + at));
    if (step == 1) return count == lanes<A> ? load(data + at) : load_partial(data + at, count);
    Vec<A> value{};
    for (int64_t i = 0; i < count; ++i) value[i] = load_scalar(data + at + i * step);
    return value;
  }
  CNNOPS_INLINE void fetch_run(int64_t at, int64_t step, A* to, int64_t count) const {
    load_run(data + at, step, to, count);
  }
};

// Positions inside a window; -1 beyond the map.
template <class O, class A>
struct Offsets {
  const O* data;
  Strides4 stride;
  A outside = bit_cast<A>(Int<A>(-1));

  CNNOPS_INLINE Vec<A> fetch(int64_t at, int64_t step, int64_t count) const {
    typedef O Whole __attribute__((vector_size(sizeof(O) * lanes<A>)));
    if (step == 1 && count == lanes<A>) {
      return bit_cast<Vec<A>>(__builtin_convertvector(load_as<Whole>(data + at), Ints<A>));
    }
    if (step == 0) return bit_cast<Vec<A>>(splat_int<A>(data[at]));
    Ints<A> value{};
    for (int64_t i = 0; i < count; ++i) value[i] = data[at + i * step];
    return bit_cast<Vec<A>>(value);
  }
  CNNOPS_INLINE void fetch_run(int64_t at, int64_t step, A* to, int64_t count) const {
    for (int64_t i = 0; i < count; ++i) to[i] = bit_cast<A>(Int<A>(data[at + i * step]));
  }
};

// No operand.
template <class A>
struct Nothing {
  static constexpr Strides4 stride{0, 0, 0, 0};
  static constexpr A outside = 0;
  CNNOPS_INLINE Vec<A> fetch(int64_t, int64_t, int64_t) const { return Vec<A>{}; }
  CNNOPS_INLINE void fetch_run(int64_t, int64_t, A*, int64_t) const {}
};

// Results: written a vector of channels or a run of columns at a time.
template <class T>
struct ValueResult {
  using A = Accumulate<T>;
  T* data;
  Strides4 stride;

  CNNOPS_INLINE void put(int64_t at, Vec<A> value, int64_t count) const {
    if (count == lanes<A>) {
      store(data + at, value);
    } else {
      store_partial(data + at, value, count);
    }
  }
  CNNOPS_INLINE void put_run(int64_t at, int64_t step, const A* from, int64_t count) const {
    store_run(from, data + at, step, count);
  }
};

template <class O, class A>
struct OffsetResult {
  O* data;
  Strides4 stride;

  CNNOPS_INLINE void put(int64_t at, Vec<A> value, int64_t count) const {
    const Ints<A> offsets = bit_cast<Ints<A>>(value);
    typedef O Whole __attribute__((vector_size(sizeof(O) * lanes<A>)));
    const Whole narrow = __builtin_convertvector(offsets, Whole);
    if (count == lanes<A>) {
      __builtin_memcpy(data + at, &narrow, sizeof(narrow));
    } else {
      for (int64_t i = 0; i < count; ++i) data[at + i] = narrow[i];
    }
  }
  CNNOPS_INLINE void put_run(int64_t at, int64_t step, const A* from, int64_t count) const {
    for (int64_t i = 0; i < count; ++i) data[at + i * step] = O(bit_cast<Int<A>>(from[i]));
  }
};

template <class A>
struct NoResult {
  static constexpr Strides4 stride{0, 0, 0, 0};
  CNNOPS_INLINE void put(int64_t, Vec<A>, int64_t) const {}
  CNNOPS_INLINE void put_run(int64_t, int64_t, const A*, int64_t) const {}
};

}  // namespace cnnops::CNNOPS_TARGET
