// The second pass of a split reduction: adds the parts in their order, one thread an item, and puts
// it in its place.
#pragma once

#include "conv2d_parameters.h"
#include "divider.cuh"
#include "numbers.cuh"
#include "tile.cuh"

namespace cnnops::cuda {

template <class Storage>
__global__ void __launch_bounds__(kThreads)
    sum_partials(const __grid_constant__ SumParameters parameters) {
  const int64_t item = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (item >= parameters.items) return;
  const auto* partial = static_cast<const Accumulate<Storage>*>(parameters.partial) + item;
  Accumulate<Storage> sum = 0;
  for (int64_t split = 0; split < parameters.splits; ++split)
    sum += partial[split * parameters.items];
  int64_t outer = item;
  const int64_t inner = take_digit(outer, parameters.inner);
  const int64_t middle = take_digit(outer, parameters.middle);
  const int64_t place = inner * parameters.inner_stride + middle * parameters.middle_stride +
                        outer * parameters.outer_stride;
  static_cast<Storage*>(parameters.result)[place] = narrow<Storage>(sum);
}

}  // namespace cnnops::cuda
