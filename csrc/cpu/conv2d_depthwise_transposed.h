// Contiguous maps that are too small to fill vectors with pixels: some channels of an image at a
// time are transposed into scratch memory, where channels fill the vectors.
#pragma once

#include "ahead.h"
#include "operands.h"
#include "transpose.h"

namespace cnnops::CNNOPS_TARGET {

// Channels transposed at a time.
inline constexpr int64_t kTransposedChannels = 64;

// Whether the rows of results, or of gradients of results, leave half of a vector empty, and the maps
// of a block stay in the cache.
template <class A>
CNNOPS_INLINE bool has_small_maps(const Conv2dShape& shape, Pair results) {
  constexpr int64_t kMostPixels = 256;
  return shape.groups >= lanes<A> && 2 * results.w <= lanes<A> &&
         shape.input.h * shape.input.w <= kMostPixels &&
         shape.output.h * shape.output.w <= kMostPixels;
}

// A block of channels of a map: [pixel][channel].
template <class A>
class TransposedMap {
 public:
  TransposedMap(Pair map, Arena& arena)
      : map_(map), data_(arena.take<A>(pixels() * kTransposedChannels)) {}

  static Strides4 strides(Pair map) {
    return {0, 1, map.w * kTransposedChannels, kTransposedChannels};
  }
  A* data() const { return data_; }
  Values<A> values() const { return {data_, strides(map_)}; }

  template <class T>
  void load(const T* from, const Strides4& stride, int64_t channels) const {
    if (is_dense(stride))
      return transpose_copy(from, stride.c, data_, kTransposedChannels, channels, pixels());
    visit_pixels(stride,
                 [&](int64_t at, A* pixel) { load_run(from + at, stride.c, pixel, channels); });
  }

  // Fetches what the block behind is written to.
  template <class T>
  void fetch_next(T* to, const Strides4& stride, int64_t channels) const {
    if (!is_dense(stride)) return;
    for (int64_t i = 0; i < channels * pixels(); i += kLineElements<T>)
      __builtin_prefetch(to + channels * stride.c + i, 1);
  }

  template <class T>
  void store(T* to, const Strides4& stride, int64_t channels) const {
    if (is_dense(stride))
      return transpose_copy(data_, kTransposedChannels, to, stride.c, pixels(), channels);
    visit_pixels(
        stride, [&](int64_t at, const A* pixel) { store_run(pixel, to + at, stride.c, channels); });
  }

 private:
  int64_t pixels() const { return map_.h * map_.w; }
  bool is_dense(const Strides4& stride) const { return stride.w == 1 && stride.h == map_.w; }

  // visit(offset in the tensor, pixel of the block)
  template <class Visit>
  void visit_pixels(const Strides4& stride, Visit visit) const {
    A* pixel = data_;
    for (int64_t y = 0; y < map_.h; ++y) {
      for (int64_t x = 0; x < map_.w; ++x, pixel += kTransposedChannels)
        visit(y * stride.h + x * stride.w, pixel);
    }
  }

  Pair map_;
  A* data_;
};

}  // namespace cnnops::CNNOPS_TARGET
