// The pooling operators: schemas, and the kernels for tensors without data.
#include "pool2d_check.h"

#include <ATen/ops/empty.h>
#include <torch/library.h>

namespace cnnops {
namespace {

using Sizes = c10::SymIntArrayRef;
using Arguments = Pool2dArguments<c10::SymInt>;
using Shape = BasicPool2dShape<c10::SymInt>;

const std::array<c10::SymInt, 2> kNoDilation{1, 1};

at::Tensor empty_output(const Shape& shape, const at::Tensor& like) {
  return at::empty_symint(output_sizes(shape), like.options(), memory_format_of(like));
}

at::Tensor empty_input(const Shape& shape, const at::Tensor& like) {
  return at::empty_symint(input_sizes(shape), like.options(), memory_format_of(like));
}

at::Tensor meta_max_pool2d(const at::Tensor& input, Sizes kernel_size, Sizes stride, Sizes padding,
                           Sizes dilation, bool ceil_mode) {
  const Arguments arguments{kernel_size, stride, padding, dilation};
  return empty_output(check_pool_input<c10::SymInt>("max_pool2d", input, arguments, ceil_mode),
                      input);
}

std::tuple<at::Tensor, at::Tensor> meta_max_pool2d_with_offsets(const at::Tensor& input,
                                                                Sizes kernel_size, Sizes stride,
                                                                Sizes padding, Sizes dilation,
                                                                bool ceil_mode) {
  const Arguments arguments{kernel_size, stride, padding, dilation};
  const Shape shape =
      check_pool_input<c10::SymInt>("max_pool2d_with_offsets", input, arguments, ceil_mode);
  const at::Tensor output = empty_output(shape, input);
  return {output, at::empty_symint(output_sizes(shape),
                                   output.options().dtype(offset_dtype(
                                       "max_pool2d_with_offsets", shape.kernel.h, shape.kernel.w)),
                                   memory_format_of(input))};
}

at::Tensor meta_max_pool2d_backward(const at::Tensor& grad_output, const at::Tensor& offsets,
                                    Sizes input_size, Sizes kernel_size, Sizes stride,
                                    Sizes padding, Sizes dilation) {
  const Arguments arguments{kernel_size, stride, padding, dilation};
  return empty_input(check_max_backward<c10::SymInt>(grad_output, offsets, input_size, arguments),
                     grad_output);
}

at::Tensor meta_max_pool2d_select(const at::Tensor& input, const at::Tensor& offsets,
                                  Sizes kernel_size, Sizes stride, Sizes padding, Sizes dilation) {
  const Arguments arguments{kernel_size, stride, padding, dilation};
  return empty_output(check_max_select<c10::SymInt>(input, offsets, arguments), input);
}

at::Tensor meta_max_pool2d_indices(const at::Tensor& offsets, Sizes input_size, Sizes kernel_size,
                                   Sizes stride, Sizes padding, Sizes dilation) {
  check_max_indices<c10::SymInt>(offsets, input_size, {kernel_size, stride, padding, dilation});
  return at::empty_symint(offsets.sym_sizes(), offsets.options().dtype(at::kLong),
                          memory_format_of(offsets));
}

at::Tensor meta_avg_pool2d(const at::Tensor& input, Sizes kernel_size, Sizes stride, Sizes padding,
                           bool ceil_mode, bool, std::optional<int64_t> divisor_override) {
  check_divisor("avg_pool2d", divisor_override);
  const Arguments arguments{kernel_size, stride, padding, kNoDilation};
  return empty_output(check_pool_input<c10::SymInt>("avg_pool2d", input, arguments, ceil_mode),
                      input);
}

at::Tensor meta_avg_pool2d_backward(const at::Tensor& grad_output, Sizes input_size,
                                    Sizes kernel_size, Sizes stride, Sizes padding, bool ceil_mode,
                                    bool, std::optional<int64_t> divisor_override) {
  check_divisor("avg_pool2d_backward", divisor_override);
  const Arguments arguments{kernel_size, stride, padding, kNoDilation};
  return empty_input(check_pool_grad<c10::SymInt>("avg_pool2d_backward", grad_output, input_size,
                                                  arguments, ceil_mode),
                     grad_output);
}

at::Tensor meta_lp_pool2d(const at::Tensor& input, double norm_type, Sizes kernel_size,
                          Sizes stride, Sizes padding, bool ceil_mode) {
  check_norm_type("lp_pool2d", norm_type);
  const Arguments arguments{kernel_size, stride, padding, kNoDilation};
  return empty_output(check_pool_input<c10::SymInt>("lp_pool2d", input, arguments, ceil_mode),
                      input);
}

at::Tensor meta_lp_pool2d_backward(const at::Tensor& grad_output, const at::Tensor& input,
                                   const at::Tensor& output, double norm_type, Sizes kernel_size,
                                   Sizes stride, Sizes padding, bool ceil_mode) {
  const Arguments arguments{kernel_size, stride, padding, kNoDilation};
  return empty_input(
      check_lp_backward<c10::SymInt>(grad_output, input, output, norm_type, arguments, ceil_mode),
      input);
}

}  // namespace
}  // namespace cnnops

TORCH_LIBRARY_FRAGMENT(cnnops, m) {
  m.def(
      "max_pool2d(Tensor input, SymInt[2] kernel_size, SymInt[2] stride, SymInt[2] padding, "
      "SymInt[2] dilation, bool ceil_mode) -> Tensor");
  m.def(
      "max_pool2d_with_offsets(Tensor input, SymInt[2] kernel_size, SymInt[2] stride, "
      "SymInt[2] padding, SymInt[2] dilation, bool ceil_mode) -> (Tensor output, "
      "Tensor offsets)");
  m.def(
      "max_pool2d_backward(Tensor grad_output, Tensor offsets, SymInt[2] input_size, "
      "SymInt[2] kernel_size, SymInt[2] stride, SymInt[2] padding, "
      "SymInt[2] dilation) -> Tensor");
  m.def(
      "max_pool2d_select(Tensor input, Tensor offsets, SymInt[2] kernel_size, "
      "SymInt[2] stride, SymInt[2] padding, SymInt[2] dilation) -> Tensor");
  m.def(
      "max_pool2d_indices(Tensor offsets, SymInt[2] input_size, SymInt[2] kernel_size, "
      "SymInt[2] stride, SymInt[2] padding, SymInt[2] dilation) -> Tensor");
  m.def(
      "avg_pool2d(Tensor input, SymInt[2] kernel_size, SymInt[2] stride, SymInt[2] padding, "
      "bool ceil_mode, bool count_include_pad, int? divisor_override) -> Tensor");
  m.def(
      "avg_pool2d_backward(Tensor grad_output, SymInt[2] input_size, SymInt[2] kernel_size, "
      "SymInt[2] stride, SymInt[2] padding, bool ceil_mode, bool count_include_pad, "
      "int? divisor_override) -> Tensor");
  m.def(
      "lp_pool2d(Tensor input, float norm_type, SymInt[2] kernel_size, SymInt[2] stride, "
      "SymInt[2] padding, bool ceil_mode) -> Tensor");
  m.def(
      "lp_pool2d_backward(Tensor grad_output, Tensor input, Tensor output, float norm_type, "
      "SymInt[2] kernel_size, SymInt[2] stride, SymInt[2] padding, bool ceil_mode) -> Tensor");
}

TORCH_LIBRARY_IMPL(cnnops, Meta, m) {
  m.impl("max_pool2d", cnnops::meta_max_pool2d);
  m.impl("max_pool2d_with_offsets", cnnops::meta_max_pool2d_with_offsets);
  m.impl("max_pool2d_backward", cnnops::meta_max_pool2d_backward);
  m.impl("max_pool2d_select", cnnops::meta_max_pool2d_select);
  m.impl("max_pool2d_indices", cnnops::meta_max_pool2d_indices);
  m.impl("avg_pool2d", cnnops::meta_avg_pool2d);
  m.impl("avg_pool2d_backward", cnnops::meta_avg_pool2d_backward);
  m.impl("lp_pool2d", cnnops::meta_lp_pool2d);
  m.impl("lp_pool2d_backward", cnnops::meta_lp_pool2d_backward);
}
