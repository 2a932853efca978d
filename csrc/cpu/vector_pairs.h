// Vectors as pairs of lanes: splitting and joining what lies two apart.
#pragma once

#include "vector.h"

namespace cnnops::CNNOPS_TARGET {

template <class V, int... kLane>
CNNOPS_INLINE V even_lanes(V a, V b, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(a, b, (2 * kLane)...);
}
template <class V, int... kLane>
CNNOPS_INLINE V odd_lanes(V a, V b, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(a, b, (2 * kLane + 1)...);
}
template <int kFirst, class V, int... kLane>
CNNOPS_INLINE V alternate_lanes(V a, V b, std::integer_sequence<int, kLane...>) {
  constexpr int kLanes = sizeof...(kLane);
  return __builtin_shufflevector(a, b, (kFirst + kLane / 2 + kLane % 2 * kLanes)...);
}
template <class A>
using LaneSequence = std::make_integer_sequence<int, int(lanes<A>)>;

template <int kFirst, class V, int... kLane>
CNNOPS_INLINE V following_lanes(V a, V b, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(a, b, (kFirst + kLane)...);
}
// The lanes from kFirst on of the two vectors, one behind the other.
template <class A, int kFirst>
CNNOPS_INLINE Vec<A> join_lanes(Vec<A> a, Vec<A> b) {
  return following_lanes<kFirst>(a, b, LaneSequence<A>{});
}

// The lanes 0, 2, 4, ... (1, 3, 5, ...) of the two vectors, one behind the other.
template <class A>
CNNOPS_INLINE Vec<A> even(Vec<A> a, Vec<A> b) {
  return even_lanes(a, b, LaneSequence<A>{});
}
template <class A>
CNNOPS_INLINE Vec<A> odd(Vec<A> a, Vec<A> b) {
  return odd_lanes(a, b, LaneSequence<A>{});
}

// Lane i is lane index[i] of a and b, one behind the other.
template <class A>
CNNOPS_INLINE Vec<A> pick_lanes(Vec<A> a, Vec<A> b, Ints<A> index) {
  return __builtin_shuffle(a, b, index);
}

// a[0], b[0], a[1], b[1], ...: the first and the second half of them.
template <class A>
CNNOPS_INLINE Vec<A> interleave_low(Vec<A> a, Vec<A> b) {
  return alternate_lanes<0>(a, b, LaneSequence<A>{});
}
template <class A>
CNNOPS_INLINE Vec<A> interleave_high(Vec<A> a, Vec<A> b) {
  return alternate_lanes<int(lanes<A>) / 2>(a, b, LaneSequence<A>{});
}

}  // namespace cnnops::CNNOPS_TARGET
