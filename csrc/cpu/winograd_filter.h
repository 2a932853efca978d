// Filters to products' factors: u = G w G^T, the channels of the result in vectors.
#pragma once

#include "gemm_tile.h"
#include "winograd_source.h"

namespace cnnops::CNNOPS_TARGET {

// Factors in the order in which register tiles read them:
// [panel][factor (i, j)][reduced channel][panel's channel], zeros where the last panel's last vector
// ends.
struct WinogradFilter {
  int64_t width;                        // channels of a panel, kTileColumns at most
  int64_t factor_stride, panel_stride;  // floats
  float* data;

  template <class Scheme>
  static WinogradFilter take(int64_t reduce, int64_t panels, int64_t width, Arena& arena) {
    // One more row keeps the factors of a channel apart in the sets of a cache.
    const int64_t factor_stride = (reduce + 1) * width;
    const int64_t panel_stride = Scheme::kFilters * Scheme::kFilters * factor_stride;
    return {width, factor_stride, panel_stride, arena.take<float>(panels * panel_stride)};
  }

  // A product's factors from a panel and a reduced channel on.
  template <class Scheme>
  WinogradFilter part(int64_t panel, int product, int64_t reduce) const {
    return {
        width, factor_stride, panel_stride,
        data + panel * panel_stride + filter_of<Scheme>(product) * factor_stride + reduce * width};
  }
};

template <class Scheme, class T>
class FilterTransform {
 public:
  static constexpr int64_t kLanes = lanes<float>, kTaps = Scheme::kTaps;
  // Filters that are fetched before they are needed.
  static constexpr int64_t kAhead = 16;

  // A rotated filter is read backwards in both directions.
  FilterTransform(const FilterView<T>& filter, int64_t produce, bool is_rotated)
      : filter_(filter), produce_(produce), is_rotated_(is_rotated) {}

  // The factors of a panel, whose first result channel is `channel`, by some reduced channels, where
  // panel `place` and reduced channel `origin` on are in memory.
  void run(const WinogradFilter& factors, int64_t place, int64_t channel, const Range& reduce,
           int64_t origin) const {
    const int64_t channels = smaller(factors.width, produce_ - channel);
    for (int64_t c = reduce.first; c < reduce.last; ++c) {
      for (int64_t v = 0; v < channels; v += kLanes) {
        transform(channel + v, c,
                  factors.data + place * factors.panel_stride + (c - origin) * factors.width + v,
                  factors.factor_stride);
      }
    }
  }

 private:
  void transform(int64_t produce, int64_t reduce, float* to, int64_t factor_stride) const {
    float taps[kTaps * kTaps * kLanes];
    load_taps(produce, reduce, taps);
    WinogradVector halfway[Scheme::kFilters][kTaps];
    for (int s = 0; s < kTaps; ++s) {
      WinogradVector w[kTaps], u[Scheme::kFilters];
#pragma GCC unroll 16
      for (int r = 0; r < kTaps; ++r)
        w[r] = load(taps + (is_rotated_ ? (kTaps - 1 - r) * kTaps + kTaps - 1 - s : r * kTaps + s) *
                               kLanes);
      Scheme::filter(w, u);
#pragma GCC unroll 16
      for (int i = 0; i < Scheme::kFilters; ++i) halfway[i][s] = u[i];
    }
    for (int i = 0; i < Scheme::kFilters; ++i) {
      WinogradVector u[Scheme::kFilters];
      Scheme::filter(halfway[i], u);
#pragma GCC unroll 16
      for (int j = 0; j < Scheme::kFilters; ++j, to += factor_stride) store(to, u[j]);
    }
  }

  // taps[r][s][lane]
  void load_taps(int64_t produce, int64_t reduce, float* taps) const {
    const int64_t channels = smaller(kLanes, produce_ - produce);
    const T* from =
        filter_.data + produce * filter_.produce_stride + reduce * filter_.reduce_stride;
    // The channels of a vector lie in streams of their own, too many for the hardware to foresee.
    for (int64_t k = 0; k < channels; ++k) {
      __builtin_prefetch(from + k * filter_.produce_stride + kAhead * filter_.reduce_stride);
    }
    if (filter_.row_stride == kTaps * filter_.column_stride) {
      gather_lanes(from, filter_.column_stride, filter_.produce_stride, channels, kTaps * kTaps,
                   taps, kLanes);
      return;
    }
    for (int64_t r = 0; r < kTaps; ++r) {
      gather_lanes(from + r * filter_.row_stride, filter_.column_stride, filter_.produce_stride,
                   channels, kTaps, taps + r * kTaps * kLanes, kLanes);
    }
  }

  FilterView<T> filter_;
  int64_t produce_;
  bool is_rotated_;
};

}  // namespace cnnops::CNNOPS_TARGET
