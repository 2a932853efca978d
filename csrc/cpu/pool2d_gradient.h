// Which kernel computes the gradient of a pooling.
#pragma once

#include "pool2d_halved_gradients.h"
#include "pool2d_pair_gradients.h"
#include "pool2d_prepared_pixels.h"
#include "pool2d_shifts.h"
#include "pool2d_small_map_gradients.h"
#include "pool2d_tiled_gradients.h"

namespace cnnops::CNNOPS_TARGET {

// By windows that tile maps, in one way or another, or as a fold. Second is void where the second
// source, if any, is values.
template <class Second, class Op>
void pool_gradient(const Pool2dProblem& problem, const Op& op,
                   const PoolTensors<typename Op::A>& tensors, const Execution& execution) {
  with_storage_of<typename Op::A>(problem.dtype, [&]<class T>() {
    using SecondOf = std::conditional_t<std::is_void_v<Second>, T, Second>;
    using Pairs = PairGradients<Op, T, SecondOf>;
    using SmallMaps = SmallMapGradients<Op, T, SecondOf>;
    using Halved = HalvedGradients<Op, T, SecondOf>;
    using Tiled = TiledGradients<Op, T, SecondOf>;
    using Shifted = PoolShifts<Op, T, T>;
    if (Pairs::supports(problem, tensors)) return Pairs(problem, op, tensors).run(execution);
    if (SmallMaps::supports(problem, tensors))
      return SmallMaps(problem, op, tensors).run(execution);
    if (Halved::supports(problem, tensors)) return Halved(problem, op, tensors).run(execution);
    if (Tiled::supports(problem, tensors))
      return Tiled(problem, op, tensors, execution.threads).run(execution);
    if constexpr (Op::kPrepares) {
      using Pixels = PreparedPixels<Op, T, SecondOf>;
      if (Pixels::supports(problem, tensors))
        return Pixels(problem, op, tensors, execution.threads).run(execution);
    }
    if constexpr (Op::kSources == 1 && !Op::kOwn) {
      if (Shifted::supports(problem, tensors)) return Shifted(problem, op, tensors).run(execution);
    }
    pool(problem, PoolWindows::backward(problem.shape), op, tensors, execution);
  });
}

}  // namespace cnnops::CNNOPS_TARGET
