// Tensors of every dtype in every kind of memory, and their values as doubles.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "../../csrc/scalar_types.h"
#include "../../csrc/tensor_view.h"
#include "memory.h"

namespace native {

using cnnops::DType;

inline constexpr DType kDTypes[] = {DType::kFloat64, DType::kFloat32, DType::kBFloat16,
                                    DType::kFloat16};

inline int64_t bytes_of(DType dtype) {
  return dtype == DType::kFloat64 ? 8 : dtype == DType::kFloat32 ? 4 : 2;
}
inline const char* name_of(DType dtype) {
  static constexpr const char* kNames[] = {"float64", "float32", "bfloat16", "float16"};
  return kNames[int(dtype)];
}
// Distance from 1 to the next number.
inline double epsilon(DType dtype) {
  static constexpr int kDigits[] = {52, 23, 7, 10};
  return std::ldexp(1.0, -kDigits[int(dtype)]);
}
inline DType accumulated_in(DType dtype) {
  return dtype == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
}

// A half type with `digits` after the point and the largest exponent `bias`. Stored values must be
// exact and normal, or zero.
inline uint16_t half_bits(double value, int digits, int bias) {
  const int sign = std::signbit(value) ? 0x8000 : 0;
  if (value == 0) return uint16_t(sign);
  int exponent;
  const double fraction = 2 * std::frexp(std::fabs(value), &exponent) - 1;
  return uint16_t(sign | (exponent - 1 + bias) << digits | int(std::ldexp(fraction, digits)));
}
inline double half_value(uint16_t bits, int digits, int bias) {
  const int exponent = (bits & 0x7fff) >> digits, rest = bits & ((1 << digits) - 1);
  if (exponent == 2 * bias + 1) return rest != 0 ? std::nan("") : HUGE_VAL * (bits >> 15 ? -1 : 1);
  const double magnitude = exponent == 0
                               ? std::ldexp(rest, 1 - bias - digits)
                               : std::ldexp(rest + (1 << digits), exponent - bias - digits);
  return bits >> 15 ? -magnitude : magnitude;
}

inline void write_value(DType dtype, char* to, double value) {
  const float single = float(value);
  const uint16_t half =
      dtype == DType::kBFloat16 ? half_bits(value, 7, 127) : half_bits(value, 10, 15);
  const void* from = dtype == DType::kFloat64   ? static_cast<const void*>(&value)
                     : dtype == DType::kFloat32 ? static_cast<const void*>(&single)
                                                : static_cast<const void*>(&half);
  std::memcpy(to, from, bytes_of(dtype));
}
inline double read_value(DType dtype, const char* from) {
  double value;
  float single;
  uint16_t half;
  switch (dtype) {
    case DType::kFloat64:
      std::memcpy(&value, from, sizeof(value));
      return value;
    case DType::kFloat32:
      std::memcpy(&single, from, sizeof(single));
      return single;
    default:
      std::memcpy(&half, from, sizeof(half));
      return dtype == DType::kBFloat16 ? half_value(half, 7, 127) : half_value(half, 10, 15);
  }
}

struct Size4 {
  int64_t n, c, h, w;
  int64_t count() const { return n * c * h * w; }
};

// Calls body(n, c, h, w) for every element.
template <class Body>
void for_each(const Size4& size, Body body) {
  for (int64_t n = 0; n < size.n; ++n)
    for (int64_t c = 0; c < size.c; ++c)
      for (int64_t h = 0; h < size.h; ++h)
        for (int64_t w = 0; w < size.w; ++w) body(n, c, h, w);
}

// Values of a tensor as doubles; zero outside.
struct Values {
  Size4 size{};
  std::vector<double> of;

  Values() = default;
  explicit Values(const Size4& size) : size(size), of(size.count()) {}
  double& at(int64_t n, int64_t c, int64_t h, int64_t w) {
    return of[((n * size.c + c) * size.h + h) * size.w + w];
  }
  double get(int64_t n, int64_t c, int64_t h, int64_t w) const {
    if (h < 0 || h >= size.h || w < 0 || w >= size.w) return 0;
    return of[((n * size.c + c) * size.h + h) * size.w + w];
  }
};

// How a tensor lies in memory. kGaps leaves an element of NaN between any two, kExpanded repeats
// one column without storing it.
enum class Layout { kContiguous, kChannelsLast, kReversed, kGaps, kExpanded };

inline const char* name_of(Layout layout) {
  static constexpr const char* kNames[] = {"contiguous", "channels_last", "reversed", "with gaps",
                                           "expanded"};
  return kNames[int(layout)];
}

inline cnnops::Strides4 strides(const Size4& size, Layout layout) {
  switch (layout) {
    case Layout::kContiguous:
      return {size.c * size.h * size.w, size.h * size.w, size.w, 1};
    case Layout::kChannelsLast:
      return {size.c * size.h * size.w, 1, size.w * size.c, size.c};
    case Layout::kReversed:
      return {1, size.n, size.n * size.c, size.n * size.c * size.h};
    case Layout::kGaps:
      return {16 * size.c * size.h * size.w, 8 * size.h * size.w, 4 * size.w, 2};
    case Layout::kExpanded:
      return {size.c * size.h, size.h, 1, 0};
  }
  __builtin_unreachable();
}

// A tensor of just the bytes from its first to its last element.
class Tensor {
 public:
  Tensor(DType dtype, const Size4& size, Layout layout, Flush flush)
      : dtype_(dtype),
        size_(size),
        stride_(strides(size, layout)),
        memory_(size.count() == 0 ? 0 : bytes_of(dtype) * (offset(last()) + 1), bytes_of(dtype),
                flush) {}
  // Holds the values, read-only.
  Tensor(DType dtype, const Values& values, Layout layout, Flush flush)
      : Tensor(dtype, values.size, layout, flush) {
    for_each(size_, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
      write_value(dtype_, address({n, c, h, w}), values.get(n, c, h, w));
    });
    memory_.make_read_only();
  }

  double get(int64_t n, int64_t c, int64_t h, int64_t w) const {
    return read_value(dtype_, address({n, c, h, w}));
  }
  cnnops::MutableTensor view() const { return {memory_.data(), stride_}; }
  cnnops::ConstTensor const_view() const { return {memory_.data(), stride_}; }
  const Memory& memory() const { return memory_; }
  DType dtype() const { return dtype_; }
  const Size4& size() const { return size_; }

 private:
  Size4 last() const { return {size_.n - 1, size_.c - 1, size_.h - 1, size_.w - 1}; }
  int64_t offset(const Size4& at) const {
    return at.n * stride_.n + at.c * stride_.c + at.h * stride_.h + at.w * stride_.w;
  }
  char* address(const Size4& at) const { return memory_.data() + bytes_of(dtype_) * offset(at); }

  DType dtype_;
  Size4 size_;
  cnnops::Strides4 stride_;
  Memory memory_;
};

// Multiples of 1/16 between -4 and 4, which all dtypes hold exactly: the same for the same seed.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2 + 1) {}
  double next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return double(int64_t(state_ >> 33) % 129 - 64) / 16;
  }

 private:
  uint64_t state_;
};

inline Values random_values(const Size4& size, uint64_t seed) {
  Random random(seed);
  Values values(size);
  for (double& value : values.of) value = random.next();
  return values;
}

// Every column like the first one, as kExpanded needs it.
inline Values one_column(Values values) {
  for_each(values.size, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
    values.at(n, c, h, w) = values.get(n, c, h, 0);
  });
  return values;
}

}  // namespace native
