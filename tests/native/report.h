// What is being checked, and what went wrong.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tensors.h"

namespace native {

// After so many failures the program ends.
inline constexpr int64_t kMostFailures = 20;

inline std::string under_check;
inline int64_t checks = 0, failures = 0;

inline void fail(const char* format, ...) {
  std::printf("FAILED %s: ", under_check.c_str());
  va_list arguments;
  va_start(arguments, format);
  std::vprintf(format, arguments);
  va_end(arguments);
  std::printf("\n");
  if (++failures == kMostFailures) std::exit(1);
}

// Within factor * eps of the accumulation * magnitude, and half a unit in the last place stored.
inline void expect_close(const Tensor& actual, const Values& exact, const Values& magnitude,
                         double factor) {
  ++checks;
  double worst = 0;
  Size4 place{};
  for_each(actual.size(), [&](int64_t n, int64_t c, int64_t h, int64_t w) {
    const double expected = exact.get(n, c, h, w), got = actual.get(n, c, h, w);
    const double summed =
        factor * epsilon(accumulated_in(actual.dtype())) * magnitude.get(n, c, h, w);
    const double stored = (std::fabs(expected) + summed) * epsilon(actual.dtype()) / 2;
    const double smallest = actual.dtype() == DType::kFloat16 ? 0x1p-24 : 0x1p-126;
    const double ratio = std::fabs(got - expected) / (summed + stored + smallest);
    if (!std::isnan(worst) && !(ratio <= worst)) worst = ratio, place = {n, c, h, w};
  });
  if (worst <= 1) return;
  fail("(%lld, %lld, %lld, %lld) is %g, not %g: %g times the bound", (long long)place.n,
       (long long)place.c, (long long)place.h, (long long)place.w,
       actual.get(place.n, place.c, place.h, place.w),
       exact.get(place.n, place.c, place.h, place.w), worst);
}

inline void expect_same_bits(const Memory& actual, const Memory& expected) {
  ++checks;
  if (std::memcmp(actual.data(), expected.data(), expected.size()) != 0)
    fail("other bits with another number of threads");
}

}  // namespace native
