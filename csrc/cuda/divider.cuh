// The device half of divider.h.
#pragma once

#include "divider.h"

namespace cnnops::cuda {

// n / divisor for 0 <= n < 2^63.
inline __device__ int64_t operator/(int64_t n, const Divider& by) {
  const auto dividend = static_cast<uint64_t>(n);
  return static_cast<int64_t>((__umul64hi(by.magic, dividend) + dividend) >> by.shift);
}

// The smallest integer that is not below n / divisor, for n >= 0.
inline __device__ int64_t divide_up(int64_t n, const Divider& by) {
  return (n + by.divisor - 1) / by;
}

// Takes the last digit of `index`, a mixed-radix number, and leaves those before it.
inline __device__ int64_t take_digit(int64_t& index, const Divider& radix) {
  const int64_t before = index / radix;
  const int64_t digit = index - before * radix.divisor;
  index = before;
  return digit;
}

}  // namespace cnnops::cuda
