// Transposition of a square of lanes<A> vectors in registers.
//
// 128-bit chunks are transposed within themselves by interleaving, which every instruction set does
// in one instruction, and then exchanged as wholes.
#pragma once

#include "vector.h"

namespace cnnops::CNNOPS_TARGET {

template <class A>
inline constexpr int64_t kChunkLanes = 16 / int64_t(sizeof(A));

// Each picks, for lane i of its result, a lane of two vectors a and b side by side.

// In each chunk, the lanes of its lower (or upper) half of a and b in turn.
template <class A, bool kUpper>
struct Interleave {
  static constexpr int64_t pick(int64_t i) {
    const int64_t k = i % kChunkLanes<A>;
    return i - k + (kUpper ? kChunkLanes<A> / 2 : 0) + k / 2 + k % 2 * lanes<A>;
  }
};
// Of each pair of neighbouring groups of kGroup lanes, the lower (or upper) one of a and that of b.
template <class A, int64_t kGroup, bool kUpper>
struct Exchange {
  static constexpr int64_t pick(int64_t i) {
    const bool from_b = i & kGroup;
    return (i & ~kGroup) + (kUpper ? kGroup : 0) + (from_b ? lanes<A> : 0);
  }
};

template <class A, class Rule, int64_t... kLane>
CNNOPS_INLINE Vec<A> shuffle(Vec<A> a, Vec<A> b, std::integer_sequence<int64_t, kLane...>) {
  return __builtin_shufflevector(a, b, Rule::pick(kLane)...);
}
template <class A, class Rule>
CNNOPS_INLINE Vec<A> shuffle(Vec<A> a, Vec<A> b) {
  return shuffle<A, Rule>(a, b, std::make_integer_sequence<int64_t, lanes<A>>{});
}

// Rows i and i + kGroup trade groups of kGroup lanes, for all larger kGroup as well.
template <class A, int64_t kGroup>
CNNOPS_INLINE void exchange_groups(Vec<A>* rows) {
  if constexpr (kGroup < lanes<A>) {
#pragma GCC unroll 16
    for (int64_t i = 0; i < lanes<A>; ++i) {
      if (i & kGroup) continue;
      const Vec<A> a = rows[i], b = rows[i + kGroup];
      rows[i] = shuffle<A, Exchange<A, kGroup, false>>(a, b);
      rows[i + kGroup] = shuffle<A, Exchange<A, kGroup, true>>(a, b);
    }
    exchange_groups<A, 2 * kGroup>(rows);
  }
}

template <class A>
CNNOPS_INLINE void transpose(Vec<A>* rows) {
#pragma GCC unroll 16
  for (int64_t i = 0; i < lanes<A>; i += 2) {
    const Vec<A> a = rows[i], b = rows[i + 1];
    rows[i] = shuffle<A, Interleave<A, false>>(a, b);
    rows[i + 1] = shuffle<A, Interleave<A, true>>(a, b);
  }
  if constexpr (kChunkLanes<A> == 4) {
#pragma GCC unroll 16
    for (int64_t i = 0; i < lanes<A>; i += 4) {
      const Vec<A> a = rows[i], b = rows[i + 1], c = rows[i + 2], d = rows[i + 3];
      rows[i] = shuffle<A, Exchange<A, 2, false>>(a, c);
      rows[i + 1] = shuffle<A, Exchange<A, 2, true>>(a, c);
      rows[i + 2] = shuffle<A, Exchange<A, 2, false>>(b, d);
      rows[i + 3] = shuffle<A, Exchange<A, 2, true>>(b, d);
    }
  }
  exchange_groups<A, kChunkLanes<A>>(rows);
}

}  // namespace cnnops::CNNOPS_TARGET
