// The convolution operators on the CPU.
#include <torch/library.h>

#include "../conv2d_check.h"
#include "conv2d_choice.h"
#include "launch.h"

namespace cnnops {
namespace {

using Sizes = at::IntArrayRef;
using Bias = std::optional<at::Tensor>;

// Multiply-adds of the definition.
double work(const Conv2dShape& shape) {
  return double(shape.batch) * double(shape.output.h * shape.output.w) *
         double(shape.kernel.h * shape.kernel.w) * double(shape.out_channels) *
         double(shape.in_channels / shape.groups);
}

void run(const Conv2dProblem& problem, const Conv2dTensors& tensors) {
  const Conv2dAlgorithm& algorithm = chosen_conv2d(problem);
  launch<FlushDenormals>(
      work(problem.shape), [&](int64_t threads) { return algorithm.workspace(problem, threads); },
      [&](const Execution& execution) { algorithm.run(problem, tensors, execution); });
}

// Bias with unit stride: a vector of channels, copied if it is a view with gaps.
Bias dense(const Bias& bias) { return bias.has_value() ? Bias(bias->contiguous()) : std::nullopt; }
const void* data_of(const Bias& bias) {
  return bias.has_value() ? bias->const_data_ptr() : nullptr;
}

at::Tensor conv2d(const at::Tensor& input, const at::Tensor& weight, const Bias& bias, Sizes stride,
                  Sizes padding, Sizes dilation, int64_t groups) {
  const Conv2dShape shape =
      check_forward<int64_t>(input, weight, bias, {stride, padding, dilation, groups});
  const at::MemoryFormat format = memory_format_of(input, weight);
  const at::Tensor output = at::empty(output_sizes(shape), input.options(), format);
  if (output.numel() == 0) return output;
  const Bias vector = dense(bias);
  run({shape, Conv2dPass::kForward, dtype_of(input), is_channels_last(format)},
      {read_only(input), read_only(weight), write(output), data_of(vector)});
  return output;
}

// What the input gradient and conv_transpose2d have in common: from the output of `shape` back to
// its input.
at::Tensor transpose(const Conv2dShape& shape, const at::Tensor& grad_output,
                     const at::Tensor& weight, const Bias& bias) {
  const at::MemoryFormat format = memory_format_of(grad_output, weight);
  const at::Tensor grad_input = at::empty(input_sizes(shape), grad_output.options(), format);
  if (grad_input.numel() == 0) return grad_input;
  const Bias vector = dense(bias);
  run({shape, Conv2dPass::kInputGrad, dtype_of(grad_output), is_channels_last(format)},
      {write(grad_input), read_only(weight), read_only(grad_output), data_of(vector)});
  return grad_input;
}

at::Tensor conv2d_input_grad(const at::Tensor& grad_output, const at::Tensor& weight,
                             Sizes input_size, Sizes stride, Sizes padding, Sizes dilation,
                             int64_t groups) {
  const Conv2dShape shape = check_input_grad<int64_t>(grad_output, weight, input_size,
                                                      {stride, padding, dilation, groups});
  return transpose(shape, grad_output, weight, std::nullopt);
}

at::Tensor conv_transpose2d(const at::Tensor& input, const at::Tensor& weight, const Bias& bias,
                            Sizes stride, Sizes padding, Sizes dilation, int64_t groups) {
  return transpose(
      check_transpose<int64_t>(input, weight, bias, {stride, padding, dilation, groups}), input,
      weight, bias);
}

at::Tensor conv2d_weight_grad(const at::Tensor& grad_output, const at::Tensor& input,
                              Sizes weight_size, Sizes stride, Sizes padding, Sizes dilation,
                              int64_t groups) {
  const Conv2dShape shape = check_weight_grad<int64_t>(grad_output, input, weight_size,
                                                       {stride, padding, dilation, groups});
  const at::Tensor grad_weight = at::empty(weight_size, grad_output.options());
  if (grad_weight.numel() == 0) return grad_weight;
  run({shape, Conv2dPass::kWeightGrad, dtype_of(input),
       is_channels_last(memory_format_of(grad_output, input))},
      {read_only(input), write(grad_weight), read_only(grad_output), nullptr});
  return grad_weight;
}

at::Tensor conv2d_bias_grad(const at::Tensor& grad_output) {
  check_tensor("conv2d_bias_grad", "grad_output", grad_output, 4);
  const at::Tensor grad_bias = at::empty({grad_output.size(1)}, grad_output.options());
  if (grad_bias.numel() == 0) return grad_bias;
  const BiasGradProblem problem{
      grad_output.size(0),   grad_output.size(1), {grad_output.size(2), grad_output.size(3)},
      dtype_of(grad_output), read(grad_output),   grad_bias.mutable_data_ptr()};
  const Conv2dKernels& kernels = conv2d_kernels();
  launch<FlushDenormals>(
      double(grad_output.numel()), [&](int64_t) { return kernels.bias_grad_workspace(problem); },
      [&](const Execution& execution) { kernels.bias_grad(problem, execution); });
  return grad_bias;
}

}  // namespace
}  // namespace cnnops

TORCH_LIBRARY_IMPL(cnnops, CPU, m) {
  m.impl("conv2d", cnnops::conv2d);
  m.impl("conv2d_input_grad", cnnops::conv2d_input_grad);
  m.impl("conv2d_weight_grad", cnnops::conv2d_weight_grad);
  m.impl("conv2d_bias_grad", cnnops::conv2d_bias_grad);
  m.impl("conv_transpose2d", cnnops::conv_transpose2d);
}
