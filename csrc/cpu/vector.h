// Vectors of the target's width as GCC/Clang vector extensions: one source for every instruction
// set.
//
// Vec<A> holds lanes<A> accumulators (float or double), Ints<A> as many integers of the same size;
// a comparison of two Vec<A> yields Ints<A> with all bits set where it holds, and `mask ? a : b`
// selects by lane.
#pragma once

#include "../scalar_types.h"

namespace cnnops::CNNOPS_TARGET {

template <class A>
struct VectorTraits;
template <>
struct VectorTraits<float> {
  using Int = int32_t;
  typedef float vec __attribute__((vector_size(CNNOPS_VECTOR_BYTES)));
  typedef int32_t ints __attribute__((vector_size(CNNOPS_VECTOR_BYTES)));
};
template <>
struct VectorTraits<double> {
  using Int = int64_t;
  typedef double vec __attribute__((vector_size(CNNOPS_VECTOR_BYTES)));
  typedef int64_t ints __attribute__((vector_size(CNNOPS_VECTOR_BYTES)));
};

template <class A>
using Int = typename VectorTraits<A>::Int;
template <class A>
using Vec = typename VectorTraits<A>::vec;
template <class A>
using Ints = typename VectorTraits<A>::ints;
template <class A>
inline constexpr int64_t lanes = CNNOPS_VECTOR_BYTES / int64_t(sizeof(A));

// Registers of the target: 32 vectors with AVX-512 and NEON, 16 with AVX2 and SSE2.
#if defined(CNNOPS_AVX512) || defined(CNNOPS_NEON)
inline constexpr int kRegisters = 32;
#else
inline constexpr int kRegisters = 16;
#endif

typedef uint16_t Halves __attribute__((vector_size(CNNOPS_VECTOR_BYTES / 2)));
typedef uint32_t Words __attribute__((vector_size(CNNOPS_VECTOR_BYTES)));

// lanes<A> elements of another size.
template <class E, class A>
struct PackedTraits {
  typedef E vec __attribute__((vector_size(sizeof(E) * lanes<A>)));
};
template <class E, class A>
using Packed = typename PackedTraits<E, A>::vec;

template <class To, class From>
CNNOPS_INLINE To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof(To));
  return to;
}

template <class V>
CNNOPS_INLINE V load_as(const void* from) {
  V value;
  __builtin_memcpy(&value, from, sizeof(V));
  return value;
}

template <class A>
CNNOPS_INLINE Vec<A> splat(A value) {
  return value - Vec<A>{};
}
template <class A>
CNNOPS_INLINE Ints<A> splat_int(Int<A> value) {
  return Ints<A>{} + value;
}

template <class A>
CNNOPS_INLINE Vec<A> absolute(Vec<A> x) {
  constexpr Int<A> kMagnitude = Int<A>(~(uint64_t(1) << (8 * sizeof(A) - 1)));
  return bit_cast<Vec<A>>(bit_cast<Ints<A>>(x) & kMagnitude);
}

// a * b + c, rounded once where the target has such an instruction. Written out, so that every
// kernel that may compute the same result rounds it alike, whatever the compiler would contract.
template <class A>
CNNOPS_INLINE Vec<A> multiply_add(Vec<A> a, Vec<A> b, Vec<A> c) {
#if defined(CNNOPS_AVX512)
  if constexpr (sizeof(A) == 4) {
    return bit_cast<Vec<A>>(
        _mm512_fmadd_ps(bit_cast<__m512>(a), bit_cast<__m512>(b), bit_cast<__m512>(c)));
  } else {
    return bit_cast<Vec<A>>(
        _mm512_fmadd_pd(bit_cast<__m512d>(a), bit_cast<__m512d>(b), bit_cast<__m512d>(c)));
  }
#elif defined(CNNOPS_AVX2)
  if constexpr (sizeof(A) == 4) {
    return bit_cast<Vec<A>>(
        _mm256_fmadd_ps(bit_cast<__m256>(a), bit_cast<__m256>(b), bit_cast<__m256>(c)));
  } else {
    return bit_cast<Vec<A>>(
        _mm256_fmadd_pd(bit_cast<__m256d>(a), bit_cast<__m256d>(b), bit_cast<__m256d>(c)));
  }
#elif defined(CNNOPS_NEON)
  if constexpr (sizeof(A) == 4) {
    return bit_cast<Vec<A>>(
        vfmaq_f32(bit_cast<float32x4_t>(c), bit_cast<float32x4_t>(a), bit_cast<float32x4_t>(b)));
  } else {
    return bit_cast<Vec<A>>(
        vfmaq_f64(bit_cast<float64x2_t>(c), bit_cast<float64x2_t>(a), bit_cast<float64x2_t>(b)));
  }
#else
  return a * b + c;
#endif
}

// Each lane correctly rounded.
template <class A>
CNNOPS_INLINE Vec<A> square_root(Vec<A> x) {
#if defined(CNNOPS_AVX512)
  if constexpr (sizeof(A) == 4) {
    return bit_cast<Vec<A>>(_mm512_maskz_sqrt_ps(0xffff, bit_cast<__m512>(x)));
  } else {
    return bit_cast<Vec<A>>(_mm512_maskz_sqrt_pd(0xff, bit_cast<__m512d>(x)));
  }
#elif defined(CNNOPS_AVX2)
  if constexpr (sizeof(A) == 4) {
    return bit_cast<Vec<A>>(_mm256_sqrt_ps(bit_cast<__m256>(x)));
  } else {
    return bit_cast<Vec<A>>(_mm256_sqrt_pd(bit_cast<__m256d>(x)));
  }
#elif defined(CNNOPS_NEON)
  if constexpr (sizeof(A) == 4) {
    return bit_cast<Vec<A>>(vsqrtq_f32(bit_cast<float32x4_t>(x)));
  } else {
    return bit_cast<Vec<A>>(vsqrtq_f64(bit_cast<float64x2_t>(x)));
  }
#else
  Vec<A> root{};
  for (int64_t i = 0; i < lanes<A>; ++i)
    root[i] = sizeof(A) == 4 ? A(__builtin_sqrtf(float(x[i]))) : A(__builtin_sqrt(double(x[i])));
  return root;
#endif
}

// x^exponent.
template <class A>
CNNOPS_INLINE Vec<A> raise(Vec<A> x, double exponent) {
  Vec<A> result{};
  for (int64_t i = 0; i < lanes<A>; ++i) {
    result[i] = sizeof(A) == 4 ? A(__builtin_powf(float(x[i]), float(exponent)))
                               : A(__builtin_pow(double(x[i]), exponent));
  }
  return result;
}

// Whether any lane of a comparison holds.
template <class A>
CNNOPS_INLINE bool any(Ints<A> mask) {
#if defined(CNNOPS_AVX512)
  return _mm512_movepi32_mask(bit_cast<__m512i>(mask)) != 0;
#elif defined(CNNOPS_AVX2)
  return !_mm256_testz_si256(bit_cast<__m256i>(mask), bit_cast<__m256i>(mask));
#else
  typedef int64_t Longs __attribute__((vector_size(CNNOPS_VECTOR_BYTES)));
  const Longs parts = bit_cast<Longs>(mask);
  int64_t all = 0;
  for (int64_t i = 0; i < CNNOPS_VECTOR_BYTES / 8; ++i) all |= parts[i];
  return all != 0;
#endif
}

// ---- half types: widen and round (to nearest even, NaN kept) ----

CNNOPS_INLINE Vec<float> widen(Halves bits, BFloat16) {
  return bit_cast<Vec<float>>(__builtin_convertvector(bits, Words) << 16);
}

CNNOPS_INLINE Halves narrow(Vec<float> value, BFloat16) {
  const Words bits = bit_cast<Words>(value);
  const Words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const Words quiet = (bits >> 16) | 0x0040u;
  return __builtin_convertvector(value == value ? rounded : quiet, Halves);
}

#if defined(CNNOPS_AVX512)
CNNOPS_INLINE Vec<float> widen(Halves bits, Float16) {
  return bit_cast<Vec<float>>(_mm512_maskz_cvtph_ps(0xffff, bit_cast<__m256i>(bits)));
}
CNNOPS_INLINE Halves narrow(Vec<float> value, Float16) {
  return bit_cast<Halves>(
      _mm512_maskz_cvtps_ph(0xffff, bit_cast<__m512>(value), _MM_FROUND_TO_NEAREST_INT));
}
#elif defined(CNNOPS_AVX2)
CNNOPS_INLINE Vec<float> widen(Halves bits, Float16) {
  return bit_cast<Vec<float>>(_mm256_cvtph_ps(bit_cast<__m128i>(bits)));
}
CNNOPS_INLINE Halves narrow(Vec<float> value, Float16) {
  return bit_cast<Halves>(_mm256_cvtps_ph(bit_cast<__m256>(value), _MM_FROUND_TO_NEAREST_INT));
}
#elif defined(CNNOPS_NEON)
CNNOPS_INLINE Vec<float> widen(Halves bits, Float16) {
  return bit_cast<Vec<float>>(vcvt_f32_f16(bit_cast<float16x4_t>(bits)));
}
CNNOPS_INLINE Halves narrow(Vec<float> value, Float16) {
  return bit_cast<Halves>(vcvt_f16_f32(bit_cast<float32x4_t>(value)));
}
#else
// Without conversion instructions: rebias the exponent in integers, and let one float subtraction
// or addition with a power of two align (and round) the subnormals.
CNNOPS_INLINE Vec<float> widen(Halves half, Float16) {
  const Words bits = __builtin_convertvector(half, Words);
  const Words magnitude = (bits & 0x7fffu) << 13;
  const Words exponent = magnitude & 0x0f800000u;
  const Words normal = magnitude + (112u << 23);
  const Words special = normal + (112u << 23);
  const Vec<float> subnormal =
      bit_cast<Vec<float>>(normal + (1u << 23)) - splat<float>(6.103515625e-05f /* 2^-14 */);
  Words result = exponent == 0x0f800000u ? special : normal;
  result = exponent == 0u ? bit_cast<Words>(subnormal) : result;
  return bit_cast<Vec<float>>(result | ((bits & 0x8000u) << 16));
}
CNNOPS_INLINE Halves narrow(Vec<float> value, Float16) {
  const Words bits = bit_cast<Words>(value);
  const Words magnitude = bits & 0x7fffffffu;
  const Words nan_or_infinity = magnitude > 0x7f800000u ? Words{} + 0x7e00u : Words{} + 0x7c00u;
  const Words subnormal =
      bit_cast<Words>(bit_cast<Vec<float>>(magnitude) + splat<float>(0.5f)) - 0x3f000000u;
  const Words normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  Words result = magnitude < (113u << 23) ? subnormal : normal;
  result = magnitude >= (143u << 23) ? nan_or_infinity : result;
  return __builtin_convertvector(result | ((bits >> 16) & 0x8000u), Halves);
}
#endif

// ---- bytes: lanes<A> integers from memory and back ----

template <class A>
CNNOPS_INLINE Ints<A> load_bytes(const uint8_t* from) {
#if defined(CNNOPS_AVX512)
  if constexpr (sizeof(A) == 4) {
    return bit_cast<Ints<A>>(_mm512_maskz_cvtepu8_epi32(0xffff, load_as<__m128i>(from)));
  } else {
    return bit_cast<Ints<A>>(
        _mm512_maskz_cvtepu8_epi64(0xff, _mm_set_epi64x(0, load_as<int64_t>(from))));
  }
#elif defined(CNNOPS_AVX2)
  if constexpr (sizeof(A) == 4) {
    return bit_cast<Ints<A>>(_mm256_cvtepu8_epi32(_mm_set_epi64x(0, load_as<int64_t>(from))));
  } else {
    return bit_cast<Ints<A>>(_mm256_cvtepu8_epi64(_mm_cvtsi32_si128(load_as<int32_t>(from))));
  }
#else
  return __builtin_convertvector(load_as<Packed<uint8_t, A>>(from), Ints<A>);
#endif
}

template <class A>
CNNOPS_INLINE void store_bytes(uint8_t* to, Ints<A> value) {
#if defined(CNNOPS_AVX512)
  const __m512i integers = bit_cast<__m512i>(value);
  const __m128i bytes = sizeof(A) == 4 ? _mm512_maskz_cvtepi32_epi8(0xffff, integers)
                                       : _mm512_maskz_cvtepi64_epi8(0xff, integers);
  __builtin_memcpy(to, &bytes, lanes<A>);
#elif defined(CNNOPS_AVX2)
  // The first byte of each integer, gathered at the start of each half.
  const __m256i first = sizeof(A) == 4 ? _mm256_set1_epi32(0x0c080400) : _mm256_set1_epi32(0x0800);
  const __m256i gathered = _mm256_shuffle_epi8(bit_cast<__m256i>(value), first);
  const __m128i low = _mm256_castsi256_si128(gathered),
                high = _mm256_extracti128_si256(gathered, 1);
  const __m128i bytes =
      sizeof(A) == 4 ? _mm_unpacklo_epi32(low, high) : _mm_unpacklo_epi16(low, high);
  __builtin_memcpy(to, &bytes, lanes<A>);
#else
  const auto bytes = __builtin_convertvector(value, Packed<uint8_t, A>);
  __builtin_memcpy(to, &bytes, sizeof(bytes));
#endif
}

// The first `count` bytes only; the other lanes are 0.
template <class A>
CNNOPS_INLINE Ints<A> load_some_bytes(const uint8_t* from, int64_t count) {
#if defined(CNNOPS_AVX512)
  const __m128i bytes = _mm_maskz_loadu_epi8(__mmask16((1u << count) - 1u), from);
  if constexpr (sizeof(A) == 4) return bit_cast<Ints<A>>(_mm512_maskz_cvtepu8_epi32(0xffff, bytes));
  return bit_cast<Ints<A>>(_mm512_maskz_cvtepu8_epi64(0xff, bytes));
#else
  uint8_t whole[lanes<A>] = {};
  for (int64_t i = 0; i < count; ++i) whole[i] = from[i];
  return load_bytes<A>(whole);
#endif
}

// The first `count` bytes only.
template <class A>
CNNOPS_INLINE void store_some_bytes(uint8_t* to, Ints<A> value, int64_t count) {
#if defined(CNNOPS_AVX512)
  const __m512i integers = bit_cast<__m512i>(value);
  const __m128i bytes = sizeof(A) == 4 ? _mm512_maskz_cvtepi32_epi8(0xffff, integers)
                                       : _mm512_maskz_cvtepi64_epi8(0xff, integers);
  _mm_mask_storeu_epi8(to, __mmask16((1u << count) - 1u), bytes);
#else
  for (int64_t i = 0; i < count; ++i) to[i] = uint8_t(value[i]);
#endif
}

// `value` in the lanes whose bytes are `byte`, else 0.
template <class A>
CNNOPS_INLINE Vec<A> where_bytes_are(uint8_t byte, const uint8_t* bytes, Vec<A> value) {
#if defined(CNNOPS_AVX512)
  const __m128i wanted = _mm_set1_epi8(char(byte));
  if constexpr (sizeof(A) == 4) {
    const __mmask16 mask = _mm_cmpeq_epi8_mask(load_as<__m128i>(bytes), wanted);
    return bit_cast<Vec<A>>(_mm512_maskz_mov_ps(mask, bit_cast<__m512>(value)));
  }
#endif
  const Ints<A> mask = load_bytes<A>(bytes) == splat_int<A>(byte);
  return bit_cast<Vec<A>>(bit_cast<Ints<A>>(value) & mask);
}

// Whether where_set costs nothing.
#if defined(CNNOPS_AVX512)
inline constexpr bool kHasLaneMasks = true;
#else
inline constexpr bool kHasLaneMasks = false;
#endif

// `value` in the lanes whose bits are set, else `other`.
template <class A>
CNNOPS_INLINE Vec<A> where_set(uint16_t bits, Vec<A> value, Vec<A> other) {
#if defined(CNNOPS_AVX512)
  if constexpr (sizeof(A) == 4) {
    return bit_cast<Vec<A>>(
        _mm512_mask_mov_ps(bit_cast<__m512>(other), bits, bit_cast<__m512>(value)));
  } else {
    return bit_cast<Vec<A>>(
        _mm512_mask_mov_pd(bit_cast<__m512d>(other), __mmask8(bits), bit_cast<__m512d>(value)));
  }
#else
  Ints<A> of_lane;
  for (int64_t i = 0; i < lanes<A>; ++i) of_lane[i] = Int<A>(1) << i;
  return (splat_int<A>(bits) & of_lane) != 0 ? value : other;
#endif
}

// ---- loads and stores of lanes<A> elements of storage type T, unaligned ----

template <class T>
CNNOPS_INLINE Vec<Accumulate<T>> load(const T* from) {
  if constexpr (sizeof(T) == 2) {
    return widen(load_as<Halves>(from), T{});
  } else {
    return load_as<Vec<T>>(from);
  }
}

template <class T>
CNNOPS_INLINE void store(T* to, Vec<Accumulate<T>> value) {
  if constexpr (sizeof(T) == 2) {
    const Halves bits = narrow(value, T{});
    __builtin_memcpy(to, &bits, sizeof(bits));
  } else {
    __builtin_memcpy(to, &value, sizeof(value));
  }
}

// All bits set in the first `count` lanes.
template <class A>
CNNOPS_INLINE Ints<A> first_lanes(int64_t count) {
  Ints<A> index;
  for (int64_t i = 0; i < lanes<A>; ++i) index[i] = Int<A>(i);
  return index < splat_int<A>(Int<A>(count));
}

// A store that leaves the caches alone, to an address aligned to the vector, where the target has it.
// stream_fence makes what was streamed visible to other threads before what is stored after it.
#if defined(CNNOPS_AVX512) || defined(CNNOPS_AVX2)
inline constexpr bool kStreams = true;
CNNOPS_INLINE void stream_fence() { _mm_sfence(); }
#else
inline constexpr bool kStreams = false;
CNNOPS_INLINE void stream_fence() {}
#endif
template <class A>
CNNOPS_INLINE void stream(A* to, Vec<A> value) {
#if defined(CNNOPS_AVX512)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(to), bit_cast<__m512i>(value));
#elif defined(CNNOPS_AVX2)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(to), bit_cast<__m256i>(value));
#else
  store(to, value);
#endif
}

// The first `count` lanes only; the others read as zero.
#if defined(CNNOPS_AVX512)
CNNOPS_INLINE __mmask16 lane_mask(int64_t count) { return __mmask16((1u << count) - 1u); }

CNNOPS_INLINE Vec<float> load_partial(const float* from, int64_t count) {
  return bit_cast<Vec<float>>(_mm512_maskz_loadu_ps(lane_mask(count), from));
}
CNNOPS_INLINE Vec<double> load_partial(const double* from, int64_t count) {
  return bit_cast<Vec<double>>(_mm512_maskz_loadu_pd(__mmask8(lane_mask(count)), from));
}
template <class T>
CNNOPS_INLINE Vec<float> load_partial(const T* from, int64_t count) {
  return widen(bit_cast<Halves>(_mm256_maskz_loadu_epi16(lane_mask(count), from)), T{});
}
CNNOPS_INLINE void store_partial(float* to, Vec<float> value, int64_t count) {
  _mm512_mask_storeu_ps(to, lane_mask(count), bit_cast<__m512>(value));
}
CNNOPS_INLINE void store_partial(double* to, Vec<double> value, int64_t count) {
  _mm512_mask_storeu_pd(to, __mmask8(lane_mask(count)), bit_cast<__m512d>(value));
}
template <class T>
CNNOPS_INLINE void store_partial(T* to, Vec<float> value, int64_t count) {
  _mm256_mask_storeu_epi16(to, lane_mask(count), bit_cast<__m256i>(narrow(value, T{})));
}
#else
template <class T>
CNNOPS_INLINE Vec<Accumulate<T>> load_partial(const T* from, int64_t count) {
#if defined(CNNOPS_AVX2)
  if constexpr (sizeof(T) == 4) {
    const __m256i mask = bit_cast<__m256i>(first_lanes<float>(count));
    return bit_cast<Vec<float>>(_mm256_maskload_ps(from, mask));
  } else if constexpr (sizeof(T) == 8) {
    const __m256i mask = bit_cast<__m256i>(first_lanes<double>(count));
    return bit_cast<Vec<double>>(_mm256_maskload_pd(from, mask));
  }
#endif
  T whole[lanes<Accumulate<T>>] = {};
  for (int64_t i = 0; i < count; ++i) whole[i] = from[i];
  return load(whole);
}
// The whole, half, quarter, ... vectors that `count` is made of: a few stores for any count.
template <class T>
CNNOPS_INLINE void store_partial(T* to, Vec<Accumulate<T>> value, int64_t count) {
  T whole[lanes<Accumulate<T>>];
  store(whole, value);
  const T* from = whole;
#pragma GCC unroll 5
  for (int64_t piece = lanes<Accumulate<T>>; piece > 0; piece /= 2) {
    if ((count & piece) == 0) continue;
    __builtin_memcpy(to, from, size_t(piece) * sizeof(T));
    to += piece, from += piece;
  }
}
#endif

// One element, by the same conversions as a whole vector.
template <class T>
CNNOPS_INLINE Accumulate<T> load_scalar(const T* from) {
  if constexpr (sizeof(T) == 2) {
    return widen(Halves{} + from->bits, T{})[0];
  } else {
    return *from;
  }
}
template <class T>
CNNOPS_INLINE void store_scalar(T* to, Accumulate<T> value) {
  if constexpr (sizeof(T) == 2) {
    to->bits = narrow(splat<float>(value), T{})[0];
  } else {
    *to = value;
  }
}

// The lanes whose bits are set, in the others `other`; nothing else is read.
template <class T>
CNNOPS_INLINE Vec<Accumulate<T>> load_set(const T* from, uint16_t bits, Vec<Accumulate<T>> other) {
#if defined(CNNOPS_AVX512)
  if constexpr (sizeof(T) == 2) {
    const Vec<float> value = widen(bit_cast<Halves>(_mm256_maskz_loadu_epi16(bits, from)), T{});
    return where_set<float>(bits, value, other);
  } else if constexpr (sizeof(T) == 4) {
    return bit_cast<Vec<float>>(_mm512_mask_loadu_ps(bit_cast<__m512>(other), bits, from));
  } else {
    return bit_cast<Vec<double>>(
        _mm512_mask_loadu_pd(bit_cast<__m512d>(other), __mmask8(bits), from));
  }
#else
  for (int64_t l = 0; l < lanes<Accumulate<T>>; ++l)
    if (bits >> l & 1) other[l] = load_scalar(from + l);
  return other;
#endif
}

// Stores the lanes whose bits are set; nothing else is written.
template <class T>
CNNOPS_INLINE void store_set(T* to, Vec<Accumulate<T>> value, uint16_t bits) {
#if defined(CNNOPS_AVX512)
  if constexpr (sizeof(T) == 2) {
    _mm256_mask_storeu_epi16(to, bits, bit_cast<__m256i>(narrow(value, T{})));
  } else if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_ps(to, bits, bit_cast<__m512>(value));
  } else {
    _mm512_mask_storeu_pd(to, __mmask8(bits), bit_cast<__m512d>(value));
  }
#else
  for (int64_t l = 0; l < lanes<Accumulate<T>>; ++l)
    if (bits >> l & 1) store_scalar(to + l, value[l]);
#endif
}

template <class I>
CNNOPS_INLINE constexpr I smaller(I a, I b) {
  return a < b ? a : b;
}
template <class I>
CNNOPS_INLINE constexpr I larger(I a, I b) {
  return a > b ? a : b;
}
CNNOPS_INLINE int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
CNNOPS_INLINE int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }
// Floor division, for any sign of a.
CNNOPS_INLINE int64_t divide_down(int64_t a, int64_t b) { return a / b - (a % b < 0); }

}  // namespace cnnops::CNNOPS_TARGET
