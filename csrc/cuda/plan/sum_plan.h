// The second pass of split reductions (sum_partials.cuh).
#pragma once

#include <string>

#include "../conv2d_parameters.h"
#include "../tile.h"
#include "launch.h"

namespace cnnops::cuda {

// storage: the type of the result.
inline Launch sum_launch(const std::string& storage, const SumParameters& parameters) {
  return make_launch("sum_partials<" + storage + ">", ceil_div<int64_t>(parameters.items, kThreads),
                     kThreads, parameters);
}

}  // namespace cnnops::cuda
