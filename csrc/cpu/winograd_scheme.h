// One-dimensional convolutions with few multiplications (Toom and Cook; Winograd, "Arithmetic
// Complexity of Computations", 1980; Lavin and Gray, "Fast Algorithms for Convolutional Neural
// Networks", 2016, section 4):
//
//   y = A^T [(G w) * (B^T x)],   y(i) = sum_t x(i + t) w(t),   * element by element
//
// Polynomials are multiplied by their values at a few points: row j of G and column j of A^T hold
// powers of point j, row j of B^T the coefficients of prod_{l != j} (z - point l); the point at
// infinity takes the leading coefficients. G is divided by prod_{l != j} (point j - point l).
//
// Points come in pairs +-p, whose even and odd parts are shared. Their choice rules the rounding
// error: (0, +-sqrt(1/2), +-sqrt(2), inf) has a fifth of that of (0, +-1, +-2, inf).
//
// Nesting a scheme with itself gives the two-dimensional one (winograd_tile.h). The transposed
// scheme, w = G^T [(A y) * (B^T x)], is that of the weight gradient.
#pragma once

#include "vector.h"

namespace cnnops::CNNOPS_TARGET {

#define CNNOPS_UNROLLED _Pragma("GCC unroll 16") for

using WinogradVector = Vec<float>;

CNNOPS_INLINE WinogradVector fused(float factor, WinogradVector x, WinogradVector plus) {
  return multiply_add<float>(splat<float>(factor), x, plus);
}

// Points 0, +-1, inf. Products over kDepth channels or kTileDepth tiles are summed in registers, and
// these sums added up.
struct FourPoints {
  static constexpr int kCount = 4, kPairs = 1, kFirstPair = 1;
  static constexpr int64_t kDepth = 256, kTileDepth = 128;
  static constexpr double kPair[] = {1};
  static constexpr double kScale[] = {-1, 2, 2, 1};  // 1 / row of G

  CNNOPS_INLINE static void source(const WinogradVector* x, WinogradVector* t) {
    t[0] = x[2] - x[0];
    t[1] = x[2] + x[1];
    t[2] = x[2] - x[1];
    t[3] = x[3] - x[1];
  }
};

// Points +-1/2, +-1, inf.
struct FivePoints {
  static constexpr int kCount = 5, kPairs = 2, kFirstPair = 0;
  static constexpr int64_t kDepth = 256, kTileDepth = 128;
  static constexpr double kPair[] = {0.5, 1};
  static constexpr double kScale[] = {-0.75, 0.75, 1.5, -1.5, 1};

  CNNOPS_INLINE static void source(const WinogradVector* x, WinogradVector* t) {
    const WinogradVector even = x[3] - x[1], odd = x[2] - x[0];
    t[0] = fused(0.5f, odd, even);
    t[1] = fused(-0.5f, odd, even);
    const WinogradVector even_1 = fused(-0.25f, x[1], x[3]), odd_1 = fused(-0.25f, x[0], x[2]);
    t[2] = even_1 + odd_1;
    t[3] = even_1 - odd_1;
    t[4] = fused(0.25f, x[0], fused(-1.25f, x[2], x[4]));
  }
};

// Points 0, +-sqrt(1/2), +-sqrt(2), inf.
struct SixPoints {
  static constexpr int kCount = 6, kPairs = 2, kFirstPair = 1;
  static constexpr int64_t kDepth = 256, kTileDepth = 128;
  static constexpr double kRoot = 1.4142135623730951;
  static constexpr double kPair[] = {kRoot / 2, kRoot};
  static constexpr double kScale[] = {1, -1.5, -1.5, 6, 6, 1};

  CNNOPS_INLINE static void source(const WinogradVector* x, WinogradVector* t) {
    t[0] = fused(-2.5f, x[2], x[0] + x[4]);
    const WinogradVector even = fused(-2, x[2], x[4]), odd = fused(-2, x[1], x[3]);
    t[1] = fused(float(kPair[0]), odd, even);
    t[2] = fused(-float(kPair[0]), odd, even);
    const WinogradVector even_1 = fused(-0.5f, x[2], x[4]), odd_1 = fused(-0.5f, x[1], x[3]);
    t[3] = fused(float(kPair[1]), odd_1, even_1);
    t[4] = fused(-float(kPair[1]), odd_1, even_1);
    t[5] = fused(-2.5f, x[3], x[1] + x[5]);
  }
};

// Points 0, +-1/2, +-1, +-2, inf. Their products are large beside what is left of them, above all those
// over tiles, so that the rounding of long sums would count most.
struct EightPoints {
  static constexpr int kCount = 8, kPairs = 3, kFirstPair = 1;
  static constexpr int64_t kDepth = 64, kTileDepth = 32;
  static constexpr double kPair[] = {0.5, 1, 2};
  static constexpr double kScale[] = {-1, 1.40625, 1.40625, -4.5, -4.5, 90, 90, 1};

  CNNOPS_INLINE static void source(const WinogradVector* x, WinogradVector* t) {
    t[0] = fused(5.25f, x[2] - x[4], x[6] - x[0]);
    source_pair(x, 0.5f, 4, -5, t + 1);
    source_pair(x, 1, 1, -4.25f, t + 3);
    source_pair(x, 2, 0.25f, -1.25f, t + 5);
    t[7] = fused(5.25f, x[3] - x[5], x[7] - x[1]);
  }

 private:
  // Products of z, z +- point and z^4 + b z^2 + a, whose roots are the points of the other pairs.
  CNNOPS_INLINE static void source_pair(const WinogradVector* x, float point, float a, float b,
                                        WinogradVector* t) {
    const WinogradVector even = fused(a, x[2], fused(b, x[4], x[6]));
    const WinogradVector odd = fused(a, x[1], fused(b, x[3], x[5]));
    t[0] = fused(point, odd, even);
    t[1] = fused(-point, odd, even);
  }
};

constexpr double raised(double base, int exponent) {
  double power = 1;
  for (int i = 0; i < exponent; ++i) power *= base;
  return power;
}

// kResults results of a filter with kTaps taps, stride 1.
template <class Points, int results, int taps>
struct StrideOne {
  static_assert(results + taps - 1 == Points::kCount);
  static constexpr int kTaps = taps, kResults = results, kProducts = Points::kCount;
  // Samples a tile reads, samples from one tile to the next, distinct products of the filter.
  static constexpr int kSamples = kProducts, kSourceStep = results, kFilters = kProducts;
  static constexpr int64_t kDepth = Points::kDepth, kTileDepth = Points::kTileDepth;

  static constexpr int filter_of(int product) { return product; }

  // Results are in so many parts, the last of which a tile may lack; and whether it alone needs a
  // product.
  static constexpr int kParts = results;
  static constexpr bool is_of_last_part(int product) { return product == kProducts - 1; }

  // B^T.
  CNNOPS_INLINE static void source(const WinogradVector* x, WinogradVector* t) {
    Points::source(x, t);
  }
  // A^T.
  CNNOPS_INLINE static void result(const WinogradVector* products, WinogradVector* y) {
    evaluate<kResults>(products, y);
  }
  // A.
  CNNOPS_INLINE static void gradient(const WinogradVector* d, WinogradVector* t) {
    interpolate<kResults>(d, t);
  }
  // G.
  CNNOPS_INLINE static void filter(const WinogradVector* w, WinogradVector* u) {
    interpolate<kTaps>(w, u);
    CNNOPS_UNROLLED(int j = 0; j < kProducts; ++j) u[j] *= splat<float>(scale(j));
  }
  // G^T.
  CNNOPS_INLINE static void filter_gradient(const WinogradVector* products, WinogradVector* w) {
    WinogradVector scaled[kProducts];
    CNNOPS_UNROLLED(int j = 0; j < kProducts; ++j) {
      scaled[j] = products[j] * splat<float>(scale(j));
    }
    evaluate<kTaps>(scaled, w);
  }

 private:
  static constexpr float scale(int j) { return float(1 / Points::kScale[j]); }

  // The coefficients of a polynomial's values: sums over the points of their powers.
  template <int kCoefficients>
  CNNOPS_INLINE static void evaluate(const WinogradVector* values, WinogradVector* y) {
    WinogradVector sum[Points::kPairs], difference[Points::kPairs];
    CNNOPS_UNROLLED(int p = 0; p < Points::kPairs; ++p) {
      const WinogradVector* pair = values + Points::kFirstPair + 2 * p;
      sum[p] = pair[0] + pair[1];
      difference[p] = pair[0] - pair[1];
    }
    CNNOPS_UNROLLED(int i = 0; i < kCoefficients; ++i) {
      const WinogradVector* part = i % 2 == 0 ? sum : difference;
      y[i] = part[0] * splat<float>(float(raised(Points::kPair[0], i)));
      CNNOPS_UNROLLED(int p = 1; p < Points::kPairs; ++p) {
        y[i] = fused(float(raised(Points::kPair[p], i)), part[p], y[i]);
      }
    }
    if (Points::kFirstPair == 1) y[0] += values[0];
    y[kCoefficients - 1] += values[kProducts - 1];
  }

  // A polynomial's values at the points.
  template <int kCoefficients>
  CNNOPS_INLINE static void interpolate(const WinogradVector* w, WinogradVector* values) {
    if (Points::kFirstPair == 1) values[0] = w[0];
    CNNOPS_UNROLLED(int p = 0; p < Points::kPairs; ++p) {
      WinogradVector even = w[0], odd = w[1] * splat<float>(float(Points::kPair[p]));
      CNNOPS_UNROLLED(int i = 2; i < kCoefficients; ++i) {
        WinogradVector& part = i % 2 == 0 ? even : odd;
        part = fused(float(raised(Points::kPair[p], i)), w[i], part);
      }
      values[Points::kFirstPair + 2 * p] = even + odd;
      values[Points::kFirstPair + 2 * p + 1] = even - odd;
    }
    values[kProducts - 1] = w[kCoefficients - 1];
  }
};

// Three taps of stride 2: even samples meet taps 0 and 2, odd samples tap 1. The first are a filter
// of two taps with stride 1, the second a product each.
struct StrideTwo {
  using Even = StrideOne<FivePoints, 4, 2>;
  static constexpr int kTaps = 3, kResults = 4, kProducts = Even::kProducts + kResults;
  static constexpr int kSamples = 2 * Even::kSamples - 1, kSourceStep = 2 * kResults;
  static constexpr int kFilters = Even::kProducts + 1;
  static constexpr int64_t kDepth = Even::kDepth, kTileDepth = Even::kTileDepth;

  static constexpr int filter_of(int product) {
    return product < Even::kProducts ? product : Even::kProducts;
  }
  static constexpr int kParts = Even::kParts;
  static constexpr bool is_of_last_part(int product) {
    return Even::is_of_last_part(product) || product == kProducts - 1;
  }

  CNNOPS_INLINE static void source(const WinogradVector* x, WinogradVector* t) {
    WinogradVector even[Even::kSamples];
    CNNOPS_UNROLLED(int i = 0; i < Even::kSamples; ++i) even[i] = x[2 * i];
    Even::source(even, t);
    CNNOPS_UNROLLED(int i = 0; i < kResults; ++i) t[Even::kProducts + i] = x[2 * i + 1];
  }
  CNNOPS_INLINE static void result(const WinogradVector* products, WinogradVector* y) {
    Even::result(products, y);
    CNNOPS_UNROLLED(int i = 0; i < kResults; ++i) y[i] += products[Even::kProducts + i];
  }
  CNNOPS_INLINE static void gradient(const WinogradVector* d, WinogradVector* t) {
    Even::gradient(d, t);
    CNNOPS_UNROLLED(int i = 0; i < kResults; ++i) t[Even::kProducts + i] = d[i];
  }
  CNNOPS_INLINE static void filter(const WinogradVector* w, WinogradVector* u) {
    const WinogradVector even[] = {w[0], w[2]};
    Even::filter(even, u);
    u[Even::kProducts] = w[1];
  }
  CNNOPS_INLINE static void filter_gradient(const WinogradVector* products, WinogradVector* w) {
    WinogradVector even[2];
    Even::filter_gradient(products, even);
    w[0] = even[0];
    w[1] = products[Even::kProducts];
    w[2] = even[1];
  }
};

// The input gradient of three taps of stride 2: samples of grad_output d give, for 2q rows past
// the first one that tap 0 reaches, d(q) w(0) + d(q - 1) w(2) and, one row on, d(q) w(1).
struct StrideTwoTransposed {
  using Even = StrideOne<FivePoints, 4, 2>;
  static constexpr int kTaps = 3, kResults = 8, kProducts = Even::kProducts + 4;
  static constexpr int kSamples = Even::kSamples, kSourceStep = 4;
  static constexpr int kFilters = Even::kProducts + 1;
  static constexpr int64_t kDepth = Even::kDepth, kTileDepth = Even::kTileDepth;

  static constexpr int filter_of(int product) { return StrideTwo::filter_of(product); }
  static constexpr int kParts = StrideTwo::kParts;
  static constexpr bool is_of_last_part(int product) { return StrideTwo::is_of_last_part(product); }

  // x starts at d(q - 1).
  CNNOPS_INLINE static void source(const WinogradVector* x, WinogradVector* t) {
    Even::source(x, t);
    CNNOPS_UNROLLED(int i = 0; i < 4; ++i) t[Even::kProducts + i] = x[i + 1];
  }
  CNNOPS_INLINE static void result(const WinogradVector* products, WinogradVector* y) {
    WinogradVector even[Even::kResults];
    Even::result(products, even);
    CNNOPS_UNROLLED(int i = 0; i < 4; ++i) {
      y[2 * i] = even[i];
      y[2 * i + 1] = products[Even::kProducts + i];
    }
  }
  CNNOPS_INLINE static void filter(const WinogradVector* w, WinogradVector* u) {
    const WinogradVector even[] = {w[2], w[0]};
    Even::filter(even, u);
    u[Even::kProducts] = w[1];
  }
};

}  // namespace cnnops::CNNOPS_TARGET
