// Transposing copies between matrices of contiguous rows, in registers: lanes x lanes elements at a
// time.
#pragma once

#include "vector.h"

namespace cnnops::CNNOPS_TARGET {

// The elements of a 128-bit chunk of a vector.
template <class A>
inline constexpr int kChunk = 16 / int(sizeof(A));

// The lanes of two vectors' concatenation that a shuffle takes, by output lane.
//
// Interleaves the low (high) halves of each chunk, in units of `unit` elements.
template <class A>
constexpr int interleaved_lane(int lane, int unit, bool high) {
  const int in_chunk = lane % kChunk<A>, piece = in_chunk / unit;
  return lane - in_chunk + (piece / 2 + (high ? kChunk<A> / unit / 2 : 0)) * unit +
         in_chunk % unit + piece % 2 * int(lanes<A>);
}
// Exchanges chunks `distance` apart: the first vector keeps its chunks of even position and takes
// the second one's in place of the others; the second likewise.
template <class A>
constexpr int exchanged_lane(int lane, int distance, bool high) {
  const bool odd = lane / kChunk<A> / distance % 2 != 0;
  const int shift = distance * kChunk<A>;
  if (high) return odd ? lane + int(lanes<A>) : lane + shift;
  return odd ? lane - shift + int(lanes<A>) : lane;
}

template <class A, int kUnit, bool kHigh, int... kLane>
CNNOPS_INLINE Vec<A> interleave(Vec<A> a, Vec<A> b, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(a, b, interleaved_lane<A>(kLane, kUnit, kHigh)...);
}
template <class A, int kDistance, bool kHigh, int... kLane>
CNNOPS_INLINE Vec<A> exchange(Vec<A> a, Vec<A> b, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(a, b, exchanged_lane<A>(kLane, kDistance, kHigh)...);
}

// rows[i][j] and rows[j][i] change places. Chunks are transposed first, then exchanged.
template <class A>
CNNOPS_INLINE void transpose(Vec<A> (&rows)[lanes<A>]) {
  using Lanes = std::make_integer_sequence<int, int(lanes<A>)>;
#pragma GCC unroll 16
  for (int i = 0; i < lanes<A>; i += kChunk<A>) {
    if constexpr (kChunk<A> == 4) {
      const Vec<A> low01 = interleave<A, 1, false>(rows[i], rows[i + 1], Lanes{});
      const Vec<A> high01 = interleave<A, 1, true>(rows[i], rows[i + 1], Lanes{});
      const Vec<A> low23 = interleave<A, 1, false>(rows[i + 2], rows[i + 3], Lanes{});
      const Vec<A> high23 = interleave<A, 1, true>(rows[i + 2], rows[i + 3], Lanes{});
      rows[i] = interleave<A, 2, false>(low01, low23, Lanes{});
      rows[i + 1] = interleave<A, 2, true>(low01, low23, Lanes{});
      rows[i + 2] = interleave<A, 2, false>(high01, high23, Lanes{});
      rows[i + 3] = interleave<A, 2, true>(high01, high23, Lanes{});
    } else {
      const Vec<A> low = interleave<A, 1, false>(rows[i], rows[i + 1], Lanes{});
      rows[i + 1] = interleave<A, 1, true>(rows[i], rows[i + 1], Lanes{});
      rows[i] = low;
    }
  }
  constexpr int kChunks = int(lanes<A>) / kChunk<A>;
  const auto exchange_chunks = [&]<int kDistance>(std::integral_constant<int, kDistance>) {
    if constexpr (kDistance < kChunks) {
#pragma GCC unroll 16
      for (int i = 0; i < lanes<A>; ++i) {
        if (i / kChunk<A> / kDistance % 2 != 0) continue;
        Vec<A>&a = rows[i], &b = rows[i + kDistance * kChunk<A>];
        const Vec<A> low = exchange<A, kDistance, false>(a, b, Lanes{});
        b = exchange<A, kDistance, true>(a, b, Lanes{});
        a = low;
      }
    }
  };
  exchange_chunks(std::integral_constant<int, 1>{});
  exchange_chunks(std::integral_constant<int, 2>{});
  if constexpr (kChunk<A> == 2) exchange_chunks(std::integral_constant<int, 4>{});
}

// The sum of all lanes of rows[i], in lane i; the order of additions is the same for every row.
template <class A>
CNNOPS_INLINE Vec<A> lane_sums(Vec<A> (&rows)[lanes<A>]) {
  using Lanes = std::make_integer_sequence<int, int(lanes<A>)>;
#pragma GCC unroll 16
  for (int i = 0; i < lanes<A>; i += 2)
    rows[i] = interleave<A, 1, false>(rows[i], rows[i + 1], Lanes{}) +
              interleave<A, 1, true>(rows[i], rows[i + 1], Lanes{});
  if constexpr (kChunk<A> == 4) {
#pragma GCC unroll 16
    for (int i = 0; i < lanes<A>; i += 4)
      rows[i] = interleave<A, 2, false>(rows[i], rows[i + 2], Lanes{}) +
                interleave<A, 2, true>(rows[i], rows[i + 2], Lanes{});
  }
  const auto add_chunks = [&]<int kDistance>(std::integral_constant<int, kDistance>) {
    constexpr int kStep = kDistance * kChunk<A>;
    if constexpr (kStep < int(lanes<A>)) {
#pragma GCC unroll 16
      for (int i = 0; i < lanes<A>; i += 2 * kStep)
        rows[i] = exchange<A, kDistance, false>(rows[i], rows[i + kStep], Lanes{}) +
                  exchange<A, kDistance, true>(rows[i], rows[i + kStep], Lanes{});
    }
  };
  add_chunks(std::integral_constant<int, 1>{});
  add_chunks(std::integral_constant<int, 2>{});
  if constexpr (kChunk<A> == 2) add_chunks(std::integral_constant<int, 4>{});
  return rows[0];
}

// to[j * to_row + i] = from[i * from_row + j] for a block of lanes x lanes. A call of its own: inlined
// into the loop over blocks, it would keep 2 * lanes addresses in memory.
template <class From, class To>
__attribute__((noinline)) void transpose_block(const From* from, int64_t from_row, To* to,
                                               int64_t to_row) {
  using A = Accumulate<From>;
  Vec<A> block[lanes<A>];
#pragma GCC unroll 16
  for (int i = 0; i < lanes<A>; ++i) block[i] = load(from + i * from_row);
  transpose<A>(block);
#pragma GCC unroll 16
  for (int j = 0; j < lanes<A>; ++j) store(to + j * to_row, block[j]);
}

// The same for fewer rows i or columns j.
template <class From, class To>
__attribute__((noinline)) void transpose_edge(const From* from, int64_t from_row, To* to,
                                              int64_t to_row, int64_t rows, int64_t columns) {
  using A = Accumulate<From>;
  Vec<A> block[lanes<A>] = {};
#pragma GCC unroll 16
  for (int i = 0; i < lanes<A>; ++i)
    if (i < rows) block[i] = load_partial(from + i * from_row, columns);
  transpose<A>(block);
#pragma GCC unroll 16
  for (int j = 0; j < lanes<A>; ++j)
    if (j < columns) store_partial(to + j * to_row, block[j], rows);
}

// The same for any number of rows and columns. One of From and To may be a storage type.
template <class From, class To>
void transpose_copy(const From* from, int64_t from_row, To* to, int64_t to_row, int64_t rows,
                    int64_t columns) {
  constexpr int64_t kLanes = lanes<Accumulate<From>>;
  for (int64_t i = 0; i < rows; i += kLanes) {
    for (int64_t j = 0; j < columns; j += kLanes) {
      const From* const block = from + i * from_row + j;
      To* const transposed = to + j * to_row + i;
      if (i + kLanes <= rows && j + kLanes <= columns) {
        transpose_block(block, from_row, transposed, to_row);
      } else {
        transpose_edge(block, from_row, transposed, to_row, smaller(kLanes, rows - i),
                       smaller(kLanes, columns - j));
      }
    }
  }
}

}  // namespace cnnops::CNNOPS_TARGET
