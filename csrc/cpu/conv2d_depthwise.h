// Algorithm "depthwise": one filter a channel, forward and input gradient, as a weighted window sum
// without any gathering of patches.
#pragma once

#include "conv2d_depthwise_weight_grad.h"
#include "operands.h"
#include "window_op.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
struct WeightedSum : WindowOp<Accumulate<T>> {
  using A = Accumulate<T>;
  Values<T> first;
  Values<A> own;  // bias
  ValueResult<T> result;
  const A* factors;  // [tap][channel], rows of factor_row
  int64_t factor_row;

  struct State {
    Vec<A> sum;
  };
  CNNOPS_INLINE Vec<A> factor(int64_t tap, int64_t channel, ChannelLanes) const {
    return load(factors + tap * factor_row + channel);
  }
  CNNOPS_INLINE Vec<A> factor(int64_t tap, int64_t channel, ColumnLanes) const {
    return splat<A>(factors[tap * factor_row + channel]);
  }
  CNNOPS_INLINE State start(Vec<A>) const { return State{}; }
  template <int>
  CNNOPS_INLINE void step(State& state, const Samples<A>& samples, int64_t, Vec<A> factor) const {
    state.sum = multiply_add<A>(samples.first, factor, state.sum);
  }
  CNNOPS_INLINE void finish(State& state, Vec<A> bias) const { state.sum += bias; }
  CNNOPS_INLINE Vec<A> value(const State& state) const { return state.sum; }
};

template <class T>
class Depthwise {
 public:
  using A = Accumulate<T>;

  static int64_t workspace(const Conv2dProblem& problem, int64_t threads) {
    if (problem.pass == Conv2dPass::kWeightGrad) return DepthwiseWeightGrad<T>::workspace(problem);
    Arena arena;
    take_factors(problem, arena);
    take_bias(problem, arena);
    const int64_t windows = problem.channels_last
                                ? 0
                                : window_workspace<A>(correlation_lattices(problem),
                                                      WeightedSum<T>::kOperands, threads);
    return arena.size() + windows;
  }

  static void run(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                  const Execution& execution) {
    if (problem.pass == Conv2dPass::kWeightGrad)
      return DepthwiseWeightGrad<T>::run(problem, tensors, execution);
    const CorrelationOperands<T> operands = correlation_operands<T>(problem, tensors);
    Arena arena(execution.workspace);
    A* factors = take_factors(problem, arena);
    pack_factors(problem, operands.filter, factors);
    A* bias = take_bias(problem, arena);
    fill_run(bias, A(0), problem.shape.groups);
    if (operands.bias != nullptr) load_run(operands.bias, 1, bias, problem.shape.groups);
    const WeightedSum<T> op{{},
                            {operands.source, operands.source_stride, 0},
                            {bias, {0, 1, 0, 0}, 0},
                            {operands.result, operands.result_stride},
                            factors,
                            factor_row(problem)};
    const WindowProblem windows{problem.shape.batch, problem.shape.groups, result_map(problem),
                                correlation_lattices(problem), problem.shape.kernel.w};
    run_windows(windows, op, problem.channels_last, beyond(execution, arena));
  }

 private:
  static int64_t factor_row(const Conv2dProblem& problem) {
    return round_up(problem.shape.groups, lanes<A>);
  }

  static A* take_factors(const Conv2dProblem& problem, Arena& arena) {
    return arena.take<A>(problem.shape.kernel.h * problem.shape.kernel.w * factor_row(problem));
  }
  static A* take_bias(const Conv2dProblem& problem, Arena& arena) {
    return arena.take<A>(factor_row(problem));
  }

  static void pack_factors(const Conv2dProblem& problem, const FilterView<T>& filter, A* factors) {
    for (int64_t r = 0; r < problem.shape.kernel.h; ++r) {
      for (int64_t s = 0; s < problem.shape.kernel.w; ++s, factors += factor_row(problem)) {
        load_run(filter.data + r * filter.row_stride + s * filter.column_stride,
                 filter.group_stride, factors, problem.shape.groups);
      }
    }
  }
};

}  // namespace cnnops::CNNOPS_TARGET
