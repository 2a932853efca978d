// The pooling operators on CUDA devices.
#include <ATen/DeviceGuard.h>
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "../pool2d_check.h"
#include "../tensors.h"
#include "plan/pool2d_plan.h"
#include "run.h"

namespace cnnops::cuda {
namespace {

using Sizes = at::IntArrayRef;
using Arguments = Pool2dArguments<int64_t>;
using Divisor = std::optional<int64_t>;

constexpr std::array<int64_t, 2> kNoDilation{1, 1};

at::Tensor empty_output(const Pool2dShape& shape, const at::Tensor& like, at::ScalarType dtype) {
  return at::empty(output_sizes(shape), like.options().dtype(dtype), memory_format_of(like));
}
at::Tensor empty_input(const Pool2dShape& shape, const at::Tensor& like) {
  return at::empty(input_sizes(shape), like.options(), memory_format_of(like));
}

// Runs a pass that reads `like` and writes `result`, in the memory format of `like`.
template <class Tensors>
at::Tensor run_pass(Plan (*plan)(const Pool2dProblem&, const Tensors&), const Pool2dShape& shape,
                    DType dtype, const Tensors& tensors, const at::Tensor& like,
                    const at::Tensor& result) {
  if (result.numel() == 0) return result;
  const Pool2dProblem problem{shape, dtype, is_channels_last(memory_format_of(like))};
  run([&](char*) { return plan(problem, tensors); }, result);
  return result;
}

at::Tensor max_pool2d(const at::Tensor& input, Sizes kernel_size, Sizes stride, Sizes padding,
                      Sizes dilation, bool ceil_mode) {
  const Arguments arguments{kernel_size, stride, padding, dilation};
  const Pool2dShape shape = check_pool_input<int64_t>("max_pool2d", input, arguments, ceil_mode);
  const c10::cuda::OptionalCUDAGuard guard(at::device_of(input));
  const at::Tensor output = empty_output(shape, input, input.scalar_type());
  const MaxPool2dTensors tensors{read(input), {}, write(output)};
  return run_pass(plan_max_pool2d, shape, dtype_of(input), tensors, input, output);
}

std::tuple<at::Tensor, at::Tensor> max_pool2d_with_offsets(const at::Tensor& input,
                                                           Sizes kernel_size, Sizes stride,
                                                           Sizes padding, Sizes dilation,
                                                           bool ceil_mode) {
  const Arguments arguments{kernel_size, stride, padding, dilation};
  const Pool2dShape shape =
      check_pool_input<int64_t>("max_pool2d_with_offsets", input, arguments, ceil_mode);
  const c10::cuda::OptionalCUDAGuard guard(at::device_of(input));
  const at::Tensor output = empty_output(shape, input, input.scalar_type());
  const at::Tensor offsets = empty_output(
      shape, input, offset_dtype("max_pool2d_with_offsets", shape.kernel.h, shape.kernel.w));
  const MaxPool2dTensors tensors{read(input), write(offsets), write(output)};
  run_pass(plan_max_pool2d_with_offsets, shape, dtype_of(input), tensors, input, output);
  return {output, offsets};
}

at::Tensor max_pool2d_backward(const at::Tensor& grad_output, const at::Tensor& offsets,
                               Sizes input_size, Sizes kernel_size, Sizes stride, Sizes padding,
                               Sizes dilation) {
  const Arguments arguments{kernel_size, stride, padding, dilation};
  const Pool2dShape shape =
      check_max_backward<int64_t>(grad_output, offsets, input_size, arguments);
  const c10::cuda::OptionalCUDAGuard guard(at::device_of(grad_output));
  const at::Tensor grad_input = empty_input(shape, grad_output);
  const MaxPool2dTensors tensors{read(grad_output), read_only(offsets), write(grad_input)};
  return run_pass(plan_max_pool2d_backward, shape, dtype_of(grad_output), tensors, grad_output,
                  grad_input);
}

at::Tensor max_pool2d_select(const at::Tensor& input, const at::Tensor& offsets, Sizes kernel_size,
                             Sizes stride, Sizes padding, Sizes dilation) {
  const Arguments arguments{kernel_size, stride, padding, dilation};
  const Pool2dShape shape = check_max_select<int64_t>(input, offsets, arguments);
  const c10::cuda::OptionalCUDAGuard guard(at::device_of(input));
  const at::Tensor output = empty_output(shape, input, input.scalar_type());
  const MaxPool2dTensors tensors{read(input), read_only(offsets), write(output)};
  return run_pass(plan_max_pool2d_select, shape, dtype_of(input), tensors, input, output);
}

at::Tensor max_pool2d_indices(const at::Tensor& offsets, Sizes input_size, Sizes kernel_size,
                              Sizes stride, Sizes padding, Sizes dilation) {
  const Pool2dShape shape =
      check_max_indices<int64_t>(offsets, input_size, {kernel_size, stride, padding, dilation});
  const c10::cuda::OptionalCUDAGuard guard(at::device_of(offsets));
  const at::Tensor indices = empty_output(shape, offsets, at::kLong);
  const MaxPool2dTensors tensors{{}, read_only(offsets), write(indices)};
  // There are no samples whose dtype could matter.
  return run_pass(plan_max_pool2d_indices, shape, DType{}, tensors, offsets, indices);
}

at::Tensor avg_pool2d(const at::Tensor& input, Sizes kernel_size, Sizes stride, Sizes padding,
                      bool ceil_mode, bool count_include_pad, Divisor divisor_override) {
  check_divisor("avg_pool2d", divisor_override);
  const Arguments arguments{kernel_size, stride, padding, kNoDilation};
  const Pool2dShape shape = check_pool_input<int64_t>("avg_pool2d", input, arguments, ceil_mode);
  const c10::cuda::OptionalCUDAGuard guard(at::device_of(input));
  const at::Tensor output = empty_output(shape, input, input.scalar_type());
  const AvgPool2dTensors tensors{read(input), write(output), count_include_pad,
                                 divisor_override.value_or(0)};
  return run_pass(plan_avg_pool2d, shape, dtype_of(input), tensors, input, output);
}

at::Tensor avg_pool2d_backward(const at::Tensor& grad_output, Sizes input_size, Sizes kernel_size,
                               Sizes stride, Sizes padding, bool ceil_mode, bool count_include_pad,
                               Divisor divisor_override) {
  check_divisor("avg_pool2d_backward", divisor_override);
  const Arguments arguments{kernel_size, stride, padding, kNoDilation};
  const Pool2dShape shape = check_pool_grad<int64_t>("avg_pool2d_backward", grad_output, input_size,
                                                     arguments, ceil_mode);
  const c10::cuda::OptionalCUDAGuard guard(at::device_of(grad_output));
  const at::Tensor grad_input = empty_input(shape, grad_output);
  const AvgPool2dTensors tensors{read(grad_output), write(grad_input), count_include_pad,
                                 divisor_override.value_or(0)};
  return run_pass(plan_avg_pool2d_backward, shape, dtype_of(grad_output), tensors, grad_output,
                  grad_input);
}

at::Tensor lp_pool2d(const at::Tensor& input, double norm_type, Sizes kernel_size, Sizes stride,
                     Sizes padding, bool ceil_mode) {
  check_norm_type("lp_pool2d", norm_type);
  const Arguments arguments{kernel_size, stride, padding, kNoDilation};
  const Pool2dShape shape = check_pool_input<int64_t>("lp_pool2d", input, arguments, ceil_mode);
  const c10::cuda::OptionalCUDAGuard guard(at::device_of(input));
  const at::Tensor output = empty_output(shape, input, input.scalar_type());
  const LPPool2dTensors tensors{read(input), {}, {}, write(output), norm_type};
  return run_pass(plan_lp_pool2d, shape, dtype_of(input), tensors, input, output);
}

at::Tensor lp_pool2d_backward(const at::Tensor& grad_output, const at::Tensor& input,
                              const at::Tensor& output, double norm_type, Sizes kernel_size,
                              Sizes stride, Sizes padding, bool ceil_mode) {
  const Arguments arguments{kernel_size, stride, padding, kNoDilation};
  const Pool2dShape shape =
      check_lp_backward<int64_t>(grad_output, input, output, norm_type, arguments, ceil_mode);
  const c10::cuda::OptionalCUDAGuard guard(at::device_of(input));
  const at::Tensor grad_input = empty_input(shape, input);
  const LPPool2dTensors tensors{read(input), read(output), read(grad_output), write(grad_input),
                                norm_type};
  return run_pass(plan_lp_pool2d_backward, shape, dtype_of(input), tensors, input, grad_input);
}

}  // namespace
}  // namespace cnnops::cuda

TORCH_LIBRARY_IMPL(cnnops, CUDA, m) {
  using namespace cnnops::cuda;
  m.impl("max_pool2d", max_pool2d);
  m.impl("max_pool2d_with_offsets", max_pool2d_with_offsets);
  m.impl("max_pool2d_backward", max_pool2d_backward);
  m.impl("max_pool2d_select", max_pool2d_select);
  m.impl("max_pool2d_indices", max_pool2d_indices);
  m.impl("avg_pool2d", avg_pool2d);
  m.impl("avg_pool2d_backward", avg_pool2d_backward);
  m.impl("lp_pool2d", lp_pool2d);
  m.impl("lp_pool2d_backward", lp_pool2d_backward);
}
