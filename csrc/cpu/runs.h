// Runs of elements between tensors (storage type T, any stride) and scratch memory (accumulate
// type, contiguous).
#pragma once

#include "vector_pairs.h"

namespace cnnops::CNNOPS_TARGET {

// By vectors, since the compiler would call memset even for the few zeros of a padding.
template <class A>
CNNOPS_INLINE void fill_run(A* to, A value, int64_t count) {
  int64_t i = 0;
  if constexpr (std::is_floating_point_v<A>) {
    for (; i + lanes<A> <= count; i += lanes<A>) store(to + i, splat<A>(value));
    if (i < count) store_partial(to + i, splat<A>(value), count - i);
  } else {
    for (; i < count; ++i) to[i] = value;
  }
}

// to[i] = from[i] for two contiguous runs; one of From and To may be a storage type. The last
// vector of a long run overlaps the one before.
template <class From, class To>
CNNOPS_INLINE void copy_run(const From* from, To* to, int64_t count) {
  constexpr int64_t kLanes = lanes<Accumulate<From>>;
  if (count < kLanes) {
    if (count > 0) store_partial(to, load_partial(from, count), count);
    return;
  }
  for (int64_t i = 0; i + kLanes < count; i += kLanes) store(to + i, load(from + i));
  store(to + count - kLanes, load(from + count - kLanes));
}

// Of kStride whole vectors, a power of two, every kStride-th sample: the first with EvenLanes, the
// last with OddLanes.
template <class A>
struct EvenLanes {
  CNNOPS_INLINE Vec<A> operator()(Vec<A> a, Vec<A> b) const { return even<A>(a, b); }
};
template <class A>
struct OddLanes {
  CNNOPS_INLINE Vec<A> operator()(Vec<A> a, Vec<A> b) const { return odd<A>(a, b); }
};
template <int kStride, class T, class Halve>
CNNOPS_INLINE Vec<Accumulate<T>> load_every(const T* from, Halve halve) {
  if constexpr (kStride == 1) {
    return load(from);
  } else {
    constexpr int kHalf = kStride / 2;
    const T* behind = from + kHalf * lanes<Accumulate<T>>;
    return halve(load_every<kHalf>(from, halve), load_every<kHalf>(behind, halve));
  }
}

// to[i] = from[i * kStride] for more than a vector of them. No sample behind the last one is read,
// which may be the last one in memory; its vector overlaps the one before.
template <int kStride, class T>
CNNOPS_INLINE void load_every_run(const T* from, Accumulate<T>* to, int64_t count) {
  using A = Accumulate<T>;
  for (int64_t i = 0; i + lanes<A> < count; i += lanes<A>)
    store(to + i, load_every<kStride>(from + i * kStride, EvenLanes<A>{}));
  const int64_t i = count - lanes<A>;
  store(to + i, load_every<kStride>(from + (i - 1) * kStride + 1, OddLanes<A>{}));
}

// to[i] = from[i * 2] for at most a vector of them, with as little read.
template <class T>
CNNOPS_INLINE void load_few_pairs(const T* from, Accumulate<T>* to, int64_t count) {
  using A = Accumulate<T>;
  const int64_t samples = count * 2 - 1, behind = samples - lanes<A>;
  const Vec<A> low = load_partial(from, smaller(samples, lanes<A>));
  const Vec<A> high = behind > 0 ? load_partial(from + lanes<A>, behind) : Vec<A>{};
  store_partial(to, even<A>(low, high), count);
}

template <class T>
CNNOPS_INLINE void load_run(const T* from, int64_t stride, Accumulate<T>* to, int64_t count) {
  if (stride == 1) return copy_run(from, to, count);
  if (count > lanes<Accumulate<T>>) {
    if (stride == 2) return load_every_run<2>(from, to, count);
    if (stride == 4) return load_every_run<4>(from, to, count);
  } else if (stride == 2 && count > 2) {
    return load_few_pairs(from, to, count);
  }
  for (int64_t i = 0; i < count; ++i) to[i] = load_scalar(from + i * stride);
}

template <class T>
CNNOPS_INLINE void store_run(const Accumulate<T>* from, T* to, int64_t stride, int64_t count) {
  if (stride == 1) return copy_run(from, to, count);
  for (int64_t i = 0; i < count; ++i) store_scalar(to + i * stride, from[i]);
}

// The half-open range of i in [0, count) with 0 <= i * stride + start < size.
struct Range {
  int64_t first, last;

  CNNOPS_INLINE bool has(int64_t i) const { return i >= first && i < last; }
};
CNNOPS_INLINE Range inside(int64_t count, int64_t stride, int64_t start, int64_t size) {
  int64_t first = start >= 0 ? 0 : -start, last = start >= size ? 0 : size - start;
  // Divisions are as slow as a short run's copy; most strides are 1.
  if (stride != 1) first = divide_up(first, stride), last = divide_up(last, stride);
  first = smaller(count, first);
  return {first, larger(first, smaller(count, last))};
}

}  // namespace cnnops::CNNOPS_TARGET
