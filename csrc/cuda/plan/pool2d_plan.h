// The launches of the pooling operators. None needs a workspace, and none depends on the GPU. The
// result must not be empty.
#pragma once

#include "../../pool2d_problem.h"
#include "launch.h"

namespace cnnops::cuda {

Plan plan_max_pool2d(const Pool2dProblem& problem, const MaxPool2dTensors& tensors);
Plan plan_max_pool2d_with_offsets(const Pool2dProblem& problem, const MaxPool2dTensors& tensors);
Plan plan_max_pool2d_backward(const Pool2dProblem& problem, const MaxPool2dTensors& tensors);
Plan plan_max_pool2d_select(const Pool2dProblem& problem, const MaxPool2dTensors& tensors);

// Reads the offsets and writes a result of int64.
Plan plan_max_pool2d_indices(const Pool2dProblem& problem, const MaxPool2dTensors& tensors);

Plan plan_avg_pool2d(const Pool2dProblem& problem, const AvgPool2dTensors& tensors);
Plan plan_avg_pool2d_backward(const Pool2dProblem& problem, const AvgPool2dTensors& tensors);

Plan plan_lp_pool2d(const Pool2dProblem& problem, const LPPool2dTensors& tensors);
Plan plan_lp_pool2d_backward(const Pool2dProblem& problem, const LPPool2dTensors& tensors);

}  // namespace cnnops::cuda
