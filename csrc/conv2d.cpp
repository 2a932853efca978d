// The convolution operators: schemas, and the kernels for tensors without data.
#include "conv2d_check.h"

#include <ATen/ops/empty.h>
#include <torch/library.h>

namespace cnnops {
namespace {

using Sizes = c10::SymIntArrayRef;

at::Tensor meta_conv2d(const at::Tensor& input, const at::Tensor& weight,
                       const std::optional<at::Tensor>& bias, Sizes stride, Sizes padding,
                       Sizes dilation, c10::SymInt groups) {
  const auto shape =
      check_forward<c10::SymInt>(input, weight, bias, {stride, padding, dilation, groups});
  return at::empty_symint(output_sizes(shape), input.options(), memory_format_of(input, weight));
}

at::Tensor meta_conv_transpose2d(const at::Tensor& input, const at::Tensor& weight,
                                 const std::optional<at::Tensor>& bias, Sizes stride, Sizes padding,
                                 Sizes dilation, c10::SymInt groups) {
  const auto shape =
      check_transpose<c10::SymInt>(input, weight, bias, {stride, padding, dilation, groups});
  return at::empty_symint(input_sizes(shape), input.options(), memory_format_of(input, weight));
}

at::Tensor meta_conv2d_input_grad(const at::Tensor& grad_output, const at::Tensor& weight,
                                  Sizes input_size, Sizes stride, Sizes padding, Sizes dilation,
                                  c10::SymInt groups) {
  check_input_grad<c10::SymInt>(grad_output, weight, input_size,
                                {stride, padding, dilation, groups});
  return at::empty_symint(input_size, grad_output.options(), memory_format_of(grad_output, weight));
}

at::Tensor meta_conv2d_weight_grad(const at::Tensor& grad_output, const at::Tensor& input,
                                   Sizes weight_size, Sizes stride, Sizes padding, Sizes dilation,
                                   c10::SymInt groups) {
  check_weight_grad<c10::SymInt>(grad_output, input, weight_size,
                                 {stride, padding, dilation, groups});
  return at::empty_symint(weight_size, grad_output.options());
}

at::Tensor meta_conv2d_bias_grad(const at::Tensor& grad_output) {
  check_tensor("conv2d_bias_grad", "grad_output", grad_output, 4);
  return at::empty_symint({grad_output.sym_size(1)}, grad_output.options());
}

}  // namespace
}  // namespace cnnops

TORCH_LIBRARY_FRAGMENT(cnnops, m) {
  m.def(
      "conv2d(Tensor input, Tensor weight, Tensor? bias, SymInt[2] stride, SymInt[4] padding, "
      "SymInt[2] dilation, SymInt groups) -> Tensor");
  m.def(
      "conv2d_input_grad(Tensor grad_output, Tensor weight, SymInt[4] input_size, "
      "SymInt[2] stride, SymInt[4] padding, SymInt[2] dilation, SymInt groups) -> Tensor");
  m.def(
      "conv2d_weight_grad(Tensor grad_output, Tensor input, SymInt[4] weight_size, "
      "SymInt[2] stride, SymInt[4] padding, SymInt[2] dilation, SymInt groups) -> Tensor");
  m.def("conv2d_bias_grad(Tensor grad_output) -> Tensor");
  m.def(
      "conv_transpose2d(Tensor input, Tensor weight, Tensor? bias, SymInt[2] stride, "
      "SymInt[4] padding, SymInt[2] dilation, SymInt groups) -> Tensor");
}

TORCH_LIBRARY_IMPL(cnnops, Meta, m) {
  m.impl("conv2d", cnnops::meta_conv2d);
  m.impl("conv2d_input_grad", cnnops::meta_conv2d_input_grad);
  m.impl("conv2d_weight_grad", cnnops::meta_conv2d_weight_grad);
  m.impl("conv2d_bias_grad", cnnops::meta_conv2d_bias_grad);
  m.impl("conv_transpose2d", cnnops::meta_conv_transpose2d);
}
