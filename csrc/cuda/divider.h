// Division of 64-bit indices by a divisor that the host knows: one high product, one shift.
//
// Granlund and Montgomery, "Division by Invariant Integers using Multiplication" (1994), figure 4.1:
// with l = ceil(log2(d)) and m = floor(2^64 (2^l - d) / d) + 1, n / d = (hi(m n) + n) >> l. The sum
// does not overflow for n < 2^63.
#pragma once

#include <bit>
#include <cstdint>

namespace cnnops::cuda {

struct Divider {
  uint64_t magic;
  int64_t divisor;  // >= 1
  uint32_t shift;
};

inline Divider divider(int64_t divisor) {
  const auto d = static_cast<uint64_t>(divisor);
  const auto shift = static_cast<uint32_t>(std::bit_width(d - 1));
  const auto excess = static_cast<unsigned __int128>((uint64_t(1) << shift) - d);
  return {static_cast<uint64_t>((excess << 64) / d) + 1, divisor, shift};
}

}  // namespace cnnops::cuda
