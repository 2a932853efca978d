// Depthwise correlation of small contiguous maps, transposed.
#pragma once

#include "blocking.h"
#include "conv2d_depthwise_rows.h"
#include "conv2d_depthwise_transposed.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class SmallMapCorrelation {
 public:
  using A = Accumulate<T>;

  SmallMapCorrelation(const Conv2dProblem& problem, const CorrelationOperands<T>& operands)
      : problem_(problem),
        operands_(operands),
        channels_(blocking(problem.shape.groups, kTransposedChannels, lanes<A>)) {}

  static bool supports(const Conv2dProblem& problem) {
    const Pair map = result_map(problem);
    return has_small_maps<A>(problem.shape, map) && covers(correlation_lattices(problem), map);
  }

  int64_t workspace(int64_t threads) const {
    Arena arena;
    ChannelFactors<A>(problem_.shape, arena);
    return workspace_bytes(arena, threads, [&](Arena& own) { return Scratch(*this, own); });
  }

  void run(const Execution& execution) const {
    Arena arena(execution.workspace);
    const ChannelFactors<A> factors(problem_.shape, arena);
    factors.fill(problem_.shape, operands_.filter, operands_.bias);
    const ScratchBySlot scratch(execution, arena, [&](Arena& own) { return Scratch(*this, own); });
    const DepthwiseRows<A> rows(problem_, TransposedMap<A>::strides(source_map()),
                                TransposedMap<A>::strides(result_map(problem_)), factors);
    parallel(execution, operands_.batch * channels_.count, [&](int64_t task, int64_t slot) {
      correlate(rows, task / channels_.count, task % channels_.count * channels_.size,
                scratch(slot));
    });
  }

 private:
  struct Scratch {
    TransposedMap<A> source, result;

    Scratch(const SmallMapCorrelation& maps, Arena& arena)
        : source(maps.source_map(), arena), result(result_map(maps.problem_), arena) {}
  };

  Pair source_map() const {
    return problem_.pass == Conv2dPass::kForward ? problem_.shape.input : problem_.shape.output;
  }

  void correlate(const DepthwiseRows<A>& rows, int64_t image, int64_t first,
                 const Scratch& scratch) const {
    const Strides4 &from = operands_.source_stride, &to = operands_.result_stride;
    const int64_t count = smaller(channels_.size, operands_.groups - first);
    T* const result = operands_.result + image * to.n + first * to.c;
    scratch.source.load(operands_.source + image * from.n + first * from.c, from, count);
    scratch.result.fetch_next(result, to, count);
    rows.fold({scratch.source.data(), scratch.result.data(), {first, first + count}},
              {0, rows.count()});
    scratch.result.store(result, to, count);
  }

  const Conv2dProblem problem_;
  const CorrelationOperands<T> operands_;
  const Blocking channels_;
};

}  // namespace cnnops::CNNOPS_TARGET
