// Operators that tell how a GPU would run a convolution.
#include <torch/library.h>

#include "../../conv2d_check.h"
#include "../../conv2d_flags.h"
#include "../../tensors.h"
#include "conv2d_plan.h"
#include "launch_list.h"

namespace cnnops::cuda {
namespace {

using Bias = std::optional<at::Tensor>;

Conv2dPass pass_named(const std::string& name) {
  if (name == "forward") return Conv2dPass::kForward;
  if (name == "input_grad") return Conv2dPass::kInputGrad;
  if (name == "weight_grad") return Conv2dPass::kWeightGrad;
  TORCH_CHECK(false, "_cuda_conv2d: which must be forward, input_grad or weight_grad, got '", name,
              "'");
}

// Stands in for a tensor on a GPU: its sizes, strides and dtype, and an address.
MutableTensor at_address(const at::Tensor& tensor, int64_t address) {
  return {reinterpret_cast<void*>(address), strides_of(tensor)};
}

Conv2dProblem problem_of(const std::string& which, const at::Tensor& input,
                         const at::Tensor& weight, const at::Tensor& output,
                         const Conv2dArguments<int64_t>& arguments) {
  const Conv2dPass pass = pass_named(which);
  const Conv2dShape shape = check_conv2d<int64_t>("_cuda_conv2d", "input", input.sizes(), "weight",
                                                  weight.sizes(), arguments);
  const at::Tensor& formatted = pass == Conv2dPass::kInputGrad ? input : output;
  return {shape, pass, dtype_of(input), is_channels_last(memory_format_of(formatted))};
}

// Whether there is anything to compute.
bool has_result(const Conv2dProblem& problem) {
  const Conv2dShape& shape = problem.shape;
  switch (problem.pass) {
    case Conv2dPass::kForward:
      return shape.batch > 0 && shape.out_channels > 0;
    case Conv2dPass::kInputGrad:
      return shape.batch > 0 && shape.in_channels > 0 && shape.input.h > 0 && shape.input.w > 0;
    case Conv2dPass::kWeightGrad:
      return shape.in_channels > 0 && shape.out_channels > 0;
  }
  __builtin_unreachable();
}

LaunchList conv2d_launches(const std::string& which, const at::Tensor& input,
                           const at::Tensor& weight, const at::Tensor& output,
                           at::IntArrayRef addresses, at::IntArrayRef stride,
                           at::IntArrayRef padding, at::IntArrayRef dilation, int64_t groups,
                           bool allow_tf32, int64_t capability, int64_t workspace) {
  const Conv2dProblem problem =
      problem_of(which, input, weight, output, {stride, padding, dilation, groups});
  const Conv2dTensors tensors{at_address(input, addresses[0]), at_address(weight, addresses[1]),
                              at_address(output, addresses[2]),
                              reinterpret_cast<const void*>(addresses[3])};
  const Conv2dSettings settings{{static_cast<int>(capability)}, allow_tf32};
  if (!has_result(problem)) return launch_list({});
  const Conv2dAlgorithm algorithm = allowed_algorithms(conv2d_algorithms(problem)).front();
  return launch_list(
      algorithm.plan(problem, tensors, settings, reinterpret_cast<char*>(workspace)));
}

LaunchList bias_grad_launches(const at::Tensor& grad_output, at::IntArrayRef addresses,
                              int64_t workspace) {
  const BiasGradProblem problem{
      grad_output.size(0),
      grad_output.size(1),
      {grad_output.size(2), grad_output.size(3)},
      dtype_of(grad_output),
      {reinterpret_cast<const void*>(addresses[0]), strides_of(grad_output)},
      reinterpret_cast<void*>(addresses[1])};
  if (problem.channels == 0) return launch_list({});
  return launch_list(plan_bias_grad(problem, reinterpret_cast<char*>(workspace)));
}

// Of dense tensors at aligned addresses.
std::tuple<std::vector<std::string>, std::vector<int64_t>> conv2d_plan(
    const std::string& which, at::IntArrayRef input_size, at::IntArrayRef weight_size,
    at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, int64_t groups,
    at::ScalarType dtype, bool channels_last, int64_t capability) {
  const Conv2dArguments<int64_t> arguments{stride, padding, dilation, groups};
  const Conv2dShape shape = check_conv2d<int64_t>("_cuda_conv2d_plan", "input_size", input_size,
                                                  "weight_size", weight_size, arguments);
  const Conv2dProblem problem{shape, pass_named(which), dtype_of(dtype), channels_last};
  const auto activation = [&](int64_t channels, Pair map) -> MutableTensor {
    if (channels_last) return {nullptr, {map.h * map.w * channels, 1, map.w * channels, channels}};
    return {nullptr, {channels * map.h * map.w, map.h * map.w, map.w, 1}};
  };
  const int64_t taps = shape.kernel.h * shape.kernel.w;
  const Conv2dTensors tensors{
      activation(shape.in_channels, shape.input),
      {nullptr, {shape.in_channels / shape.groups * taps, taps, shape.kernel.w, 1}},
      activation(shape.out_channels, shape.output),
      nullptr};
  const Conv2dSettings settings{{static_cast<int>(capability)}, false};
  std::vector<std::string> names;
  std::vector<int64_t> workspaces;
  for (const Conv2dAlgorithm& algorithm : allowed_algorithms(conv2d_algorithms(problem))) {
    names.emplace_back(algorithm.name);
    workspaces.push_back(has_result(problem)
                             ? algorithm.plan(problem, tensors, settings, nullptr).workspace_bytes
                             : 0);
  }
  return {names, workspaces};
}

}  // namespace
}  // namespace cnnops::cuda

TORCH_LIBRARY_FRAGMENT(cnnops, m) {
  using cnnops::cuda::kLaunchListSchema;
  m.def(
      "_cuda_conv2d_plan(str which, int[4] input_size, int[4] weight_size, int[2] stride, "
      "int[4] padding, int[2] dilation, int groups, ScalarType dtype, bool channels_last, "
      "int capability) -> (str[] algorithms, int[] workspace_bytes)",
      cnnops::cuda::conv2d_plan);
  // Addresses of input, weight, output and bias (0: none).
  m.def(
      (std::string("_cuda_conv2d_launches(str which, Tensor input, Tensor weight, Tensor output, "
                   "int[4] addresses, int[2] stride, int[4] padding, int[2] dilation, int groups, "
                   "bool allow_tf32, int capability, int workspace) -> ") +
       kLaunchListSchema)
          .c_str(),
      cnnops::cuda::conv2d_launches);
  // Addresses of grad_output and grad_bias.
  m.def((std::string("_cuda_bias_grad_launches(Tensor grad_output, int[2] addresses, "
                     "int workspace) -> ") +
         kLaunchListSchema)
            .c_str(),
        cnnops::cuda::bias_grad_launches);
}
