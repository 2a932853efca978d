// Interleaving copies of a few rows, a whole vector of each at a time:
//
//   to[j * kRows + i] = from[i * from_row + j]
#pragma once

#include "runs.h"
#include "transpose.h"

namespace cnnops::CNNOPS_TARGET {

// Element `e` of the interleaved rows, which is lane `lane` of a vector that has taken its lanes from
// the rows before `row`: the lane of that vector and this row's, one behind the other.
template <class A, int kRows>
constexpr int taken_lane(int e, int lane, int row) {
  const int column = e / kRows;
  if (e % kRows == row) return int(lanes<A>) + column;
  return row == 1 ? column : lane;
}

template <class A, int kRows, int kVector, int kRow, int... kLane>
CNNOPS_INLINE Vec<A> take_lanes(Vec<A> taken, Vec<A> row, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(
      taken, row, taken_lane<A, kRows>(kVector * int(lanes<A>) + kLane, kLane, kRow)...);
}

// Vector kVector of the interleaved rows.
template <class A, int kVector, int kRows, int... kRow>
CNNOPS_INLINE Vec<A> interleaved(const Vec<A> (&rows)[kRows], std::integer_sequence<int, kRow...>) {
  Vec<A> taken = rows[0];
  ((taken = take_lanes<A, kRows, kVector, kRow + 1>(taken, rows[kRow + 1], LaneSequence<A>{})),
   ...);
  return taken;
}

template <class T, int... kRow>
CNNOPS_INLINE void interleave_block(const T* from, int64_t from_row, Accumulate<T>* to,
                                    std::integer_sequence<int, kRow...>) {
  using A = Accumulate<T>;
  constexpr int kRows = sizeof...(kRow);
  const Vec<A> rows[] = {load(from + kRow * from_row)...};
  using Later = std::make_integer_sequence<int, kRows - 1>;
  (store(to + kRow * lanes<A>, interleaved<A, kRow>(rows, Later{})), ...);
}

// The last block of a long row overlaps the one before.
template <int kRows, class T>
void interleave_rows(const T* from, int64_t from_row, Accumulate<T>* to, int64_t columns) {
  constexpr int64_t kLanes = lanes<Accumulate<T>>;
  using Rows = std::make_integer_sequence<int, kRows>;
  if (columns < kLanes) return transpose_copy(from, from_row, to, kRows, kRows, columns);
  for (int64_t j = 0; j + kLanes < columns; j += kLanes)
    interleave_block(from + j, from_row, to + j * kRows, Rows{});
  const int64_t last = columns - kLanes;
  interleave_block(from + last, from_row, to + last * kRows, Rows{});
}

// The same for any number of rows.
template <class T>
void interleave_copy(const T* from, int64_t from_row, Accumulate<T>* to, int64_t rows,
                     int64_t columns) {
  switch (rows) {
    case 1:
      return copy_run(from, to, columns);
    case 2:
      return interleave_rows<2>(from, from_row, to, columns);
    case 3:
      return interleave_rows<3>(from, from_row, to, columns);
    case 4:
      return interleave_rows<4>(from, from_row, to, columns);
    default:
      return transpose_copy(from, from_row, to, rows, rows, columns);
  }
}

}  // namespace cnnops::CNNOPS_TARGET
