#include "conv2d_plan.h"

#include <algorithm>

#include "direct_plan.h"
#include "implicit_gemm_plan.h"

namespace cnnops::cuda {
namespace {

// Channels of a group from which a tile is filled well enough to beat a thread an output.
constexpr int64_t kTileChannels = 16;

Plan plan_implicit_gemm(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                        const Conv2dSettings& settings, char* workspace) {
  return problem.pass == Conv2dPass::kWeightGrad
             ? plan_weight_grad_gemm(problem, tensors, settings, workspace)
             : plan_correlation_gemm(problem, tensors, settings, workspace);
}

Plan plan_direct(const Conv2dProblem& problem, const Conv2dTensors& tensors, const Conv2dSettings&,
                 char* workspace) {
  return problem.pass == Conv2dPass::kWeightGrad
             ? plan_weight_grad_direct(problem, tensors, workspace)
             : plan_correlation_direct(problem, tensors, workspace);
}

constexpr Conv2dAlgorithm kImplicitGemm{"implicit_gemm", implicit_gemm_supports,
                                        plan_implicit_gemm};
constexpr Conv2dAlgorithm kDirect{"direct", [](const Conv2dProblem&) { return true; }, plan_direct};

bool has_narrow_groups(const Conv2dShape& shape) {
  return shape.groups > 1 &&
         std::max(shape.in_channels, shape.out_channels) / shape.groups < kTileChannels;
}

}  // namespace

std::vector<Conv2dAlgorithm> conv2d_algorithms(const Conv2dProblem& problem) {
  if (!kImplicitGemm.supports(problem)) return {kDirect};
  if (has_narrow_groups(problem.shape)) return {kDirect, kImplicitGemm};
  return {kImplicitGemm, kDirect};
}

std::vector<const char*> conv2d_algorithm_names() { return {kImplicitGemm.name, kDirect.name}; }

}  // namespace cnnops::cuda
