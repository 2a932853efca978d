// The bias gradient: grad_output summed over N, H and W for each channel, as fast as memory is read.
// Runs of images have partial sums, of rows first and then of the rows' sums; the runs are added in
// order.
#pragma once

#include "blocking.h"
#include "operand_lanes.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class BiasGrad {
 public:
  using A = Accumulate<T>;

  static int64_t workspace(const BiasGradProblem& problem) {
    Arena arena;
    take_partials(problem, arena);
    return arena.size();
  }

  static void run(const BiasGradProblem& problem, const Execution& execution) {
    Arena arena(execution.workspace);
    A* partials = take_partials(problem, arena);
    const Blocking runs = batch_runs(problem.batch);
    const int64_t blocks = divide_up(problem.channels, kChannels), row = blocks * kChannels;
    parallel(execution, runs.count * blocks, [&](int64_t task, int64_t) {
      const int64_t run = task / blocks, c = task % blocks * kChannels;
      A* sums = partials + run * row + c;
      fill_run(sums, A(0), kChannels);
      for (int64_t n = run * runs.size; n < smaller(problem.batch, (run + 1) * runs.size); ++n)
        add_image(problem, n, c, smaller(kChannels, problem.channels - c), sums);
    });
    T* grad_bias = static_cast<T*>(problem.grad_bias);
    for (int64_t c = 0; c < problem.channels; ++c) {
      A sum = 0;
      for (int64_t run = 0; run < runs.count; ++run) sum += partials[run * row + c];
      store_scalar(grad_bias + c, sum);
    }
  }

 private:
  static A* take_partials(const BiasGradProblem& problem, Arena& arena) {
    return arena.take<A>(batch_runs(problem.batch).count * round_up(problem.channels, kChannels));
  }

  // Adds one image's sums of `count` channels from c on.
  static void add_image(const BiasGradProblem& problem, int64_t image, int64_t c, int64_t count,
                        A* sums) {
    const Strides4& stride = problem.grad_output.stride;
    const T* from = static_cast<const T*>(problem.grad_output.data) + at(stride, image, c, 0, 0);
    const Pair& map = problem.map;
    if (stride.c == 1) return add_channels(from, stride, map, count, sums);
    const bool rows_touch = stride.w == 1 && stride.h == map.w;
    const Pair rows = rows_touch ? Pair{1, map.h * map.w} : map;
    for (int64_t i = 0; i < count; ++i) sums[i] += sum_map(from + i * stride.c, stride, rows);
  }

  // Channels are contiguous: a few vectors of them at a time.
  static void add_channels(const T* from, const Strides4& stride, const Pair& map, int64_t count,
                           A* sums) {
    Vec<A> sum[kVectors] = {};
    for (int64_t h = 0; h < map.h; ++h) {
      Vec<A> row[kVectors] = {};
      for (int64_t w = 0; w < map.w; ++w) {
        const T* pixel = from + h * stride.h + w * stride.w;
        if (count == kChannels) {
#pragma GCC unroll 16
          for (int v = 0; v < kVectors; ++v) row[v] += load(pixel + v * lanes<A>);
          continue;
        }
        for (int v = 0; v * lanes<A> < count; ++v)
          row[v] += load_partial(pixel + v * lanes<A>, smaller(lanes<A>, count - v * lanes<A>));
      }
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sum[v] += row[v];
    }
    for (int v = 0; v < kVectors; ++v)
      store(sums + v * lanes<A>, load(sums + v * lanes<A>) + sum[v]);
  }

  // One channel.
  static A sum_map(const T* from, const Strides4& stride, const Pair& map) {
    Vec<A> sum{};
    for (int64_t h = 0; h < map.h; ++h) {
      for (int64_t w = 0; w < map.w; w += kRun)
        sum += sum_run(from + h * stride.h + w * stride.w, stride.w, smaller(kRun, map.w - w));
    }
    A total = 0;
    for (int64_t lane = 0; lane < lanes<A>; ++lane) total += sum[lane];
    return total;
  }

  static Vec<A> sum_run(const T* from, int64_t stride, int64_t count) {
    if (stride == 1) return sum_contiguous(from, count);
    Vec<A> sum{};
    for (int64_t i = 0; i < count; ++i) sum[i % lanes<A>] += load_scalar(from + i * stride);
    return sum;
  }

  static Vec<A> sum_contiguous(const T* from, int64_t count) {
    Vec<A> sums[kVectors] = {};
    int64_t i = 0;
    for (; i + kChannels <= count; i += kChannels) {
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sums[v] += load(from + i + v * lanes<A>);
    }
    for (; i < count; i += lanes<A>)
      sums[0] += load_partial(from + i, smaller(lanes<A>, count - i));
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }

  // Independent sums, which hide the latency of an addition, and the elements they take at a time.
  static constexpr int kVectors = 4;
  static constexpr int64_t kChannels = kVectors * lanes<A>;
  // Elements whose sums are added up before they are added to others.
  static constexpr int64_t kRun = 2048;
};

}  // namespace cnnops::CNNOPS_TARGET
