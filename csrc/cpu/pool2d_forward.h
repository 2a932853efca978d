// Which kernel computes a pooling.
#pragma once

#include "pool2d_halved_forward.h"
#include "pool2d_pairs.h"
#include "pool2d_shifts.h"

namespace cnnops::CNNOPS_TARGET {

// In pairs, by shifts or as a fold. Second stores the second result, if there is one.
template <class Second, class Op>
void pool_forward(const Pool2dProblem& problem, const Op& op,
                  const PoolTensors<typename Op::A>& tensors, const Execution& execution) {
  with_storage_of<typename Op::A>(problem.dtype, [&]<class T>() {
    using Pairs = PoolPairs<Op, T, Second>;
    using Halved = HalvedForward<Op, T, Second>;
    using Shifted = PoolShifts<Op, T, Second>;
    if (Pairs::supports(problem, tensors)) return Pairs(problem, op, tensors).run(execution);
    if (Halved::supports(problem, tensors)) return Halved(problem, op, tensors).run(execution);
    if (Shifted::supports(problem, tensors)) return Shifted(problem, op, tensors).run(execution);
    pool(problem, PoolWindows::forward(problem.shape), op, tensors, execution);
  });
}

}  // namespace cnnops::CNNOPS_TARGET
