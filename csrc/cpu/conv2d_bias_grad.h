// The bias gradient: grad_output summed over N, H and W for each channel. Runs of images have partial
// sums, of rows first and then of the rows' sums; the runs are added in order.
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
    const int64_t blocks = divide_up(problem.channels, lanes<A>);
    parallel(execution, runs.count * blocks, [&](int64_t task, int64_t) {
      const int64_t run = task / blocks, c = task % blocks * lanes<A>;
      Vec<A> sums{};
      for (int64_t n = run * runs.size; n < smaller(problem.batch, (run + 1) * runs.size); ++n) {
        sums += sum_image(problem, n, c, smaller(lanes<A>, problem.channels - c));
      }
      store(partials + run * blocks * lanes<A> + c, sums);
    });
    T* grad_bias = static_cast<T*>(problem.grad_bias);
    for (int64_t c = 0; c < problem.channels; ++c) {
      A sum = 0;
      for (int64_t run = 0; run < runs.count; ++run) sum += partials[run * blocks * lanes<A> + c];
      store_scalar(grad_bias + c, sum);
    }
  }

 private:
  static A* take_partials(const BiasGradProblem& problem, Arena& arena) {
    return arena.take<A>(batch_runs(problem.batch).count * round_up(problem.channels, lanes<A>));
  }

  // One image's sums of `count` channels from c on, one a lane.
  static Vec<A> sum_image(const BiasGradProblem& problem, int64_t image, int64_t c, int64_t count) {
    const Strides4& stride = problem.grad_output.stride;
    const T* from = static_cast<const T*>(problem.grad_output.data) + at(stride, image, c, 0, 0);
    if (stride.c == 1) return sum_channels({from, stride, 0}, problem.map, count);
    Vec<A> sums{};
    for (int64_t i = 0; i < count; ++i) sums[i] = sum_map(from + i * stride.c, stride, problem.map);
    return sums;
  }

  static Vec<A> sum_channels(const Values<T>& values, const Pair& map, int64_t count) {
    Vec<A> sum{};
    for (int64_t h = 0; h < map.h; ++h) {
      Vec<A> row{};
      for (int64_t w = 0; w < map.w; ++w)
        row += values.fetch(at(values.stride, 0, 0, h, w), 1, count);
      sum += row;
    }
    return sum;
  }

  static A sum_map(const T* from, const Strides4& stride, const Pair& map) {
    A sum = 0;
    for (int64_t h = 0; h < map.h; ++h) sum += sum_row(from + h * stride.h, stride.w, map.w);
    return sum;
  }

  static A sum_row(const T* from, int64_t stride, int64_t count) {
    A sum = 0;
    int64_t i = 0;
    if (stride == 1) {
      Vec<A> sums{};
      for (; i + lanes<A> <= count; i += lanes<A>) sums += load(from + i);
      for (int64_t lane = 0; lane < lanes<A>; ++lane) sum += sums[lane];
    }
    for (; i < count; ++i) sum += load_scalar(from + i * stride);
    return sum;
  }
};

}  // namespace cnnops::CNNOPS_TARGET
