// Operators that tell how the others run.
#include <c10/util/StringUtil.h>
#include <torch/library.h>

#include <algorithm>

#include "../conv2d_check.h"
#include "../conv2d_flags.h"
#include "../cuda/plan/conv2d_plan.h"
#include "../pool2d_check.h"
#include "capability.h"
#include "conv2d_choice.h"
#include "launch.h"
#include "pool2d.h"

namespace cnnops {
namespace {

std::string cpu_capability() { return capability_name(capability()); }

std::vector<std::string> cpu_capabilities() {
  std::vector<std::string> names;
  for (const Capability one : supported_capabilities()) names.emplace_back(capability_name(one));
  return names;
}

// Of all devices.
std::vector<std::string> conv2d_algorithms() {
  const Conv2dKernels& kernels = conv2d_kernels();
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  for (int64_t i = 0; i < kernels.algorithm_count; ++i) add(kernels.algorithms[i].name);
  for (const char* name : cuda::conv2d_algorithm_names()) add(name);
  return names;
}

void check_known(const std::string& name) {
  const std::vector<std::string> known = conv2d_algorithms();
  TORCH_CHECK(std::find(known.begin(), known.end(), name) != known.end(),
              "cnnops: the algorithm must be one of ", c10::Join(", ", known), ", got '", name,
              "'");
}

Conv2dPass pass_named(const std::string& name) {
  if (name == "forward") return Conv2dPass::kForward;
  if (name == "input_grad") return Conv2dPass::kInputGrad;
  if (name == "weight_grad") return Conv2dPass::kWeightGrad;
  TORCH_CHECK(false, "_conv2d_plan: which must be forward, input_grad or weight_grad, got '", name,
              "'");
}

std::tuple<std::vector<std::string>, std::vector<int64_t>> conv2d_plan(
    const std::string& which, at::IntArrayRef input_size, at::IntArrayRef weight_size,
    at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, int64_t groups,
    at::ScalarType dtype, bool channels_last) {
  const Conv2dShape shape =
      check_conv2d<int64_t>("_conv2d_plan", "input_size", input_size, "weight_size", weight_size,
                            {stride, padding, dilation, groups});
  const Conv2dProblem problem{shape, pass_named(which), dtype_of(dtype), channels_last};
  std::vector<std::string> names;
  std::vector<int64_t> workspaces;
  for (const Conv2dAlgorithm& algorithm : choose_conv2d(problem)) {
    names.emplace_back(algorithm.name);
    workspaces.push_back(algorithm.workspace(problem, thread_count()));
  }
  return {names, workspaces};
}

int64_t pool2d_workspace(at::IntArrayRef input_size, at::IntArrayRef kernel_size,
                         at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation,
                         bool ceil_mode, at::ScalarType dtype, bool channels_last) {
  const Pool2dShape shape = check_pool2d<int64_t>(
      "_pool2d_workspace", input_size, {kernel_size, stride, padding, dilation}, ceil_mode);
  return pool2d_kernels().workspace({shape, dtype_of(dtype), channels_last}, thread_count());
}

std::tuple<std::string, std::vector<std::string>> set_flags(
    const std::string& algorithm, const std::vector<std::string>& exclude) {
  if (!algorithm.empty()) check_known(algorithm);
  for (const std::string& name : exclude) check_known(name);
  const Conv2dFlags previous = set_conv2d_flags({algorithm, exclude});
  return {previous.algorithm, previous.exclude};
}

}  // namespace
}  // namespace cnnops

TORCH_LIBRARY_FRAGMENT(cnnops, m) {
  m.def("_cpu_capability() -> str", cnnops::cpu_capability);
  m.def("_cpu_capabilities() -> str[]", cnnops::cpu_capabilities);
  m.def("_conv2d_algorithms() -> str[]", cnnops::conv2d_algorithms);
  m.def(
      "_conv2d_plan(str which, int[4] input_size, int[4] weight_size, int[2] stride, "
      "int[4] padding, int[2] dilation, int groups, ScalarType dtype, "
      "bool channels_last) -> (str[] algorithms, int[] workspace_bytes)",
      cnnops::conv2d_plan);
  m.def(
      "_pool2d_workspace(int[4] input_size, int[2] kernel_size, int[2] stride, int[2] padding, "
      "int[2] dilation, bool ceil_mode, ScalarType dtype, bool channels_last) -> int",
      cnnops::pool2d_workspace);
  m.def("_conv2d_set_flags(str algorithm, str[] exclude) -> (str algorithm, str[] exclude)",
        cnnops::set_flags);
}
