// How one thread reads and writes a few channels side by side.
#pragma once

#include <cstdint>

#include "numbers.cuh"

namespace cnnops::cuda {

// Stands for an operand, a result or a value that an operation does without.
struct None {};

// The same element of neighbouring channels.
template <class T, int count>
struct Lanes {
  T lane[count];
};

inline __device__ int widen(uint8_t x) { return x; }
inline __device__ int widen(int32_t x) { return x; }
inline __device__ None widen(None x) { return x; }

// The unsigned word, or words, of so many bytes, or of 16, which is the widest access.
template <int bytes>
struct WordOf {
  using type = uint4;
};
template <>
struct WordOf<1> {
  using type = uint8_t;
};
template <>
struct WordOf<2> {
  using type = uint16_t;
};
template <>
struct WordOf<4> {
  using type = uint32_t;
};
template <>
struct WordOf<8> {
  using type = uint2;
};
template <int bytes>
using Word = typename WordOf<bytes>::type;

// Channels that lie one after the other, in accesses of up to 16 bytes, aligned as wide.
template <int count>
struct ChannelVector {
  static constexpr int kLanes = count;

  template <class T>
  static constexpr int kBytes = count * int(sizeof(T));
  template <class T>
  struct Words {
    Word<kBytes<T>> word[kBytes<T> / sizeof(Word<kBytes<T>>)];
  };

  template <class T>
  __device__ Lanes<T, count> load(const T* from, int64_t) const {
    return __builtin_bit_cast(Lanes<T, count>, *reinterpret_cast<const Words<T>*>(from));
  }
  template <class T>
  __device__ void store(const Lanes<T, count>& lanes, T* to, int64_t) const {
    *reinterpret_cast<Words<T>*>(to) = __builtin_bit_cast(Words<T>, lanes);
  }
};

// Channels that lie `step` elements apart.
template <int count>
struct ChannelPlanes {
  static constexpr int kLanes = count;

  template <class T>
  __device__ Lanes<T, count> load(const T* from, int64_t step) const {
    Lanes<T, count> lanes;
#pragma unroll
    for (int i = 0; i < count; ++i) lanes.lane[i] = from[i * step];
    return lanes;
  }
  template <class T>
  __device__ void store(const Lanes<T, count>& lanes, T* to, int64_t step) const {
#pragma unroll
    for (int i = 0; i < count; ++i) to[i * step] = lanes.lane[i];
  }
};

}  // namespace cnnops::cuda
