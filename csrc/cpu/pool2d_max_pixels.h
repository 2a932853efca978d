// The gradient of max pooling in channels_last: every pixel gathers the gradients of the windows that it won,
// a few vectors of channels at a time, in the order of the windows, straight from memory; nothing is read
// back.
#pragma once

#include "pool2d_lanes.h"

namespace cnnops::CNNOPS_TARGET {

// Whether pixels are whole vectors of channels; where windows tile maps, each is read but once otherwise.
template <class A>
bool has_pixels(const Pool2dProblem& problem, const MaxPool2dTensors& tensors) {
  return problem.channels_last && has_small_window(problem.shape) && !windows_tile(problem.shape) &&
         problem.shape.channels >= lanes<A> && tensors.values.stride.c == 1 &&
         tensors.offsets.stride.c == 1;
}

// T stores the gradients.
template <class T>
class MaxPixels {
 public:
  using A = Accumulate<T>;

  MaxPixels(const Pool2dProblem& problem, const MaxPool2dTensors& tensors, int64_t threads)
      : windows_(PoolWindows::backward(problem.shape)),
        batch_(problem.shape.batch),
        channels_(problem.shape.channels),
        gradients_(static_cast<const T*>(tensors.values.data)),
        gradient_stride_(tensors.values.stride),
        offsets_(static_cast<const uint8_t*>(tensors.offsets.data)),
        offset_stride_(tensors.offsets.stride),
        result_(static_cast<T*>(tensors.result.data)),
        streams_(is_streamed(values<A>(problem, tensors.result), problem.shape,
                             moved_samples(windows_.source, windows_.result), threads)) {}

  void run(const Execution& execution) const {
    const int64_t rows = windows_.result.h;
    parallel(execution, batch_ * rows, [&](int64_t task, int64_t) {
      for (int64_t r = 0; r < windows_.run_count; ++r)
        write_run(task / rows, task % rows, windows_.runs[r]);
      if (streams_) stream_fence();
    });
  }

 private:
  static constexpr int kBlock = 4;  // vectors

  // Offsets are a byte.
  static MovedSamples moved_samples(Pair windows, Pair result) {
    const int64_t source = windows.h * windows.w, samples = result.h * result.w;
    return {samples, samples + source + source / int64_t(sizeof(A))};
  }

  // A window that covers a pixel: where it lies, from the first pixel of a run, and the pixel's position in
  // it.
  struct Window {
    int64_t gradient, offset;
    uint8_t tap;
  };
  // The windows of a run's first pixel. Those of the next ones lie as far on as from pixel to pixel.
  struct Windows {
    Window all[kSmallWindow];
    int64_t count;
  };

  Windows find_windows(int64_t image, int64_t y, const WindowRun& run) const {
    const Reach &row = windows_.rows[y], &column = run.reach;
    Windows found;
    found.count = row.taps * column.taps;
    for (int64_t i = 0; i < found.count; ++i) {
      const int64_t r = i / column.taps, s = i % column.taps;
      const int64_t p = row.source + r * windows_.dilation.h;
      const int64_t q = column.source + s * windows_.dilation.w;
      const Strides4 &gradient = gradient_stride_, &offset = offset_stride_;
      found.all[i] = {image * gradient.n + p * gradient.h + q * gradient.w,
                      image * offset.n + p * offset.h + q * offset.w,
                      uint8_t(windows_.position(row, column, r, s))};
    }
    return found;
  }

  // Pixels of a row whose windows lie alike.
  void write_run(int64_t image, int64_t y, const WindowRun& run) const {
    if constexpr (std::is_same_v<T, A>) {
      if (streams_) return write_run(image, y, run, StreamedLanes<A>{});
    }
    write_run(image, y, run, WholeLanes<A>{});
  }

  template <class Lanes>
  __attribute__((noinline)) void write_run(int64_t image, int64_t y, const WindowRun& run,
                                           Lanes lane) const {
    const Windows windows = find_windows(image, y, run);
    const int64_t channels = channels_, step = run.step * channels;
    const int64_t next_gradient = run.stride * gradient_stride_.w;
    const int64_t next_offset = run.stride * offset_stride_.w;
    const T* gradients = gradients_;
    const uint8_t* offsets = offsets_;
    T* to = result_ + ((image * windows_.result.h + y) * windows_.result.w + run.first) * channels;
    for (int64_t i = 0; i < run.count; ++i) {
      int64_t c = 0;
      for (; c + kBlock * lanes<A> <= channels; c += kBlock * lanes<A>)
        write_vectors<kBlock>(windows, gradients + c, offsets + c, to + c, lane);
      // The last vector of many reaches back over the one before.
      for (; c < channels; c += lanes<A>) {
        const int64_t first = smaller(c, channels - lanes<A>);
        write_vectors<1>(windows, gradients + first, offsets + first, to + first, lane);
      }
      gradients += next_gradient, offsets += next_offset, to += step;
    }
  }

  // kVectors vectors of a pixel's channels.
  template <int kVectors, class Lanes>
  CNNOPS_INLINE static void write_vectors(const Windows& windows, const T* gradients,
                                          const uint8_t* offsets, T* to, Lanes lane) {
    Vec<A> sums[kVectors] = {};
    for (int64_t i = 0; i < windows.count; ++i) {
      const Window& window = windows.all[i];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const Vec<A> gradient = load(gradients + window.gradient + v * lanes<A>);
        const uint8_t* const taps = offsets + window.offset + v * lanes<A>;
        sums[v] += where_bytes_are<A>(window.tap, taps, gradient);
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) lane.write(to + v * lanes<A>, sums[v], lanes<A>);
  }

  const PoolWindows windows_;
  const int64_t batch_, channels_;
  const T* gradients_;
  const Strides4 gradient_stride_;
  const uint8_t* offsets_;
  const Strides4 offset_stride_;
  T* result_;
  const bool streams_;
};

}  // namespace cnnops::CNNOPS_TARGET
