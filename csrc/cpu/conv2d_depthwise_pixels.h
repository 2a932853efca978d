// Depthwise correlation of channels_last maps. A task is a band of rows of results, those of all
// lattices, so that their samples are still in the cache when the next row needs them.
#pragma once

#include "blocking.h"
#include "conv2d_depthwise_stride_two.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class PixelCorrelation {
 public:
  using A = Accumulate<T>;

  PixelCorrelation(const Conv2dProblem& problem, const CorrelationOperands<T>& operands)
      : problem_(problem), operands_(operands) {}

  int64_t workspace(int64_t) const {
    Arena arena;
    ChannelFactors<A>(problem_.shape, arena);
    return arena.size();
  }

  void run(const Execution& execution) const {
    Arena arena(execution.workspace);
    const ChannelFactors<A> factors(problem_.shape, arena);
    factors.fill(problem_.shape, operands_.filter, operands_.bias);
    visit_rows<T>(problem_, operands_.source_stride, operands_.result_stride, factors,
                  [&](const auto& rows) { run_rows(rows, factors.channels, execution); });
  }

 private:
  static constexpr int64_t kBandRows = 16;

  template <class Rows>
  void run_rows(const Rows& rows, int64_t channels, const Execution& execution) const {
    const Strides4 &from = operands_.source_stride, &to = operands_.result_stride;
    const Blocking bands = blocking(rows.count(), kBandRows, 1);
    parallel(execution, operands_.batch * bands.count, [&](int64_t task, int64_t) {
      const int64_t image = task / bands.count, first = task % bands.count * bands.size;
      rows.fold({operands_.source + image * from.n, operands_.result + image * to.n, {0, channels}},
                {first, smaller(first + bands.size, rows.count())});
    });
  }

  const Conv2dProblem problem_;
  const CorrelationOperands<T> operands_;
};

}  // namespace cnnops::CNNOPS_TARGET
