// The gradient of max pooling by windows one sample apart that leave dense NCHW maps their size: sample
// and window of the same index lie in the same place, so that each tap of a window is one distance from
// samples to windows, through all maps as if they were one. A few vectors of samples gather the gradients
// of the windows that they won, tap by tap, in the order of the windows; nothing is read back.
//
// A distance that leads over the edge of a map leads to a window whose tap lies outside of it, which no
// forward pass chose.
#pragma once

#include "pool2d_shifts.h"

namespace cnnops::CNNOPS_TARGET {

inline bool has_shifts(const Pool2dProblem& problem, const MaxPool2dTensors& tensors) {
  const Pool2dShape& shape = problem.shape;
  return !problem.channels_last && keeps_size(shape) &&
         shape.kernel.h * shape.kernel.w <= kMostShifts &&
         is_dense(tensors.values.stride, shape.channels, shape.output) &&
         is_dense(tensors.offsets.stride, shape.channels, shape.output);
}

// T stores the gradients.
template <class T>
class MaxShifts {
 public:
  using A = Accumulate<T>;

  MaxShifts(const Pool2dShape& shape, const MaxPool2dTensors& tensors)
      : samples_(shape.batch * shape.channels * shape.input.h * shape.input.w),
        taps_(shape.kernel.h * shape.kernel.w),
        gradients_(static_cast<const T*>(tensors.values.data)),
        offsets_(static_cast<const uint8_t*>(tensors.offsets.data)),
        result_(static_cast<T*>(tensors.result.data)) {
    for (int64_t tap = 0; tap < taps_; ++tap) {
      const int64_t i = tap / shape.kernel.w, j = tap % shape.kernel.w;
      const int64_t row = shape.padding.h - i * shape.dilation.h;
      distance_[tap] = row * shape.input.w + shape.padding.w - j * shape.dilation.w;
    }
  }

  void run(const Execution& execution) const {
    parallel(execution, divide_up(samples_, kTaskSamples), [&](int64_t task, int64_t) {
      const int64_t first = task * kTaskSamples;
      write(first, smaller(first + kTaskSamples, samples_));
    });
  }

 private:
  static constexpr int64_t kTaskSamples = 16384;
  static constexpr int kBlock = 4;  // vectors

  // The samples [first, end). In a copy, whose members no store can change.
  void write(int64_t first, int64_t end) const {
    const MaxShifts own = *this;
    // Of the samples between, all windows are in the tensors: no distance is above the first tap's or
    // below the last one's.
    const int64_t inside = larger<int64_t>(0, -own.distance_[own.taps_ - 1]);
    const int64_t outside = own.samples_ - larger<int64_t>(0, own.distance_[0]);
    int64_t s = first;
    for (; s < smaller(inside, end); ++s) own.write_sample(s);
    const int64_t last = smaller(end, outside);
    for (; s + kBlock * lanes<A> <= last; s += kBlock * lanes<A>) own.write_vectors<kBlock>(s);
    for (; s + lanes<A> <= last; s += lanes<A>) own.write_vectors<1>(s);
    for (; s < end; ++s) own.write_sample(s);
  }

  // kVectors vectors of samples from s on.
  template <int kVectors>
  CNNOPS_INLINE void write_vectors(int64_t s) const {
    Vec<A> sums[kVectors] = {};
    for (int64_t tap = taps_ - 1; tap >= 0; --tap) {
      const int64_t window = s + distance_[tap];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const int64_t at = window + v * lanes<A>;
        sums[v] += where_bytes_are<A>(uint8_t(tap), offsets_ + at, load(gradients_ + at));
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(result_ + s + v * lanes<A>, sums[v]);
  }

  void write_sample(int64_t s) const {
    A sum = 0;
    for (int64_t tap = taps_ - 1; tap >= 0; --tap) {
      const int64_t window = s + distance_[tap];
      if (window < 0 || window >= samples_) continue;
      if (offsets_[window] == tap) sum += load_scalar(gradients_ + window);
    }
    store_scalar(result_ + s, sum);
  }

  const int64_t samples_;  // of all maps
  const int64_t taps_;
  const T* gradients_;
  const uint8_t* offsets_;
  T* result_;
  int64_t distance_[kMostShifts];  // from a sample to the window of which it is this tap
};

}  // namespace cnnops::CNNOPS_TARGET
