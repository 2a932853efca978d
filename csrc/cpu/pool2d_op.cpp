// The pooling operators on the CPU.
#include <torch/library.h>

#include "../pool2d_check.h"
#include "launch.h"
#include "pool2d.h"

namespace cnnops {
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

// In multiply-adds: a sample of a window takes as long as this many.
constexpr double kSampleWork = 4;

double work(const Pool2dShape& shape) {
  return kSampleWork * double(shape.batch * shape.channels) *
         double(shape.output.h * shape.output.w) * double(shape.kernel.h * shape.kernel.w);
}

// Runs a kernel that writes `result`.
template <class Tensors>
at::Tensor run(Pool2dKernel<Tensors> kernel, const Pool2dShape& shape, const Tensors& tensors,
               const at::Tensor& result, at::MemoryFormat format) {
  if (result.numel() == 0) return result;
  const Pool2dProblem problem{shape, dtype_of(result), is_channels_last(format)};
  launch<KeepDenormals>(
      work(shape), [&](int64_t threads) { return pool2d_kernels().workspace(problem, threads); },
      [&](const Execution& execution) { kernel(problem, tensors, execution); });
  return result;
}

at::Tensor max_pool2d(const at::Tensor& input, Sizes kernel_size, Sizes stride, Sizes padding,
                      Sizes dilation, bool ceil_mode) {
  const Arguments arguments{kernel_size, stride, padding, dilation};
  const Pool2dShape shape = check_pool_input<int64_t>("max_pool2d", input, arguments, ceil_mode);
  const at::Tensor output = empty_output(shape, input, input.scalar_type());
  const MaxPool2dTensors tensors{read(input), {}, write(output)};
  return run(pool2d_kernels().max_forward, shape, tensors, output, memory_format_of(input));
}

std::tuple<at::Tensor, at::Tensor> max_pool2d_with_offsets(const at::Tensor& input,
                                                           Sizes kernel_size, Sizes stride,
                                                           Sizes padding, Sizes dilation,
                                                           bool ceil_mode) {
  const Arguments arguments{kernel_size, stride, padding, dilation};
  const Pool2dShape shape =
      check_pool_input<int64_t>("max_pool2d_with_offsets", input, arguments, ceil_mode);
  const at::Tensor output = empty_output(shape, input, input.scalar_type());
  const at::Tensor offsets = empty_output(
      shape, input, offset_dtype("max_pool2d_with_offsets", shape.kernel.h, shape.kernel.w));
  const MaxPool2dTensors tensors{read(input), write(offsets), write(output)};
  run(pool2d_kernels().max_forward_with_offsets, shape, tensors, output, memory_format_of(input));
  return {output, offsets};
}

at::Tensor max_pool2d_backward(const at::Tensor& grad_output, const at::Tensor& offsets,
                               Sizes input_size, Sizes kernel_size, Sizes stride, Sizes padding,
                               Sizes dilation) {
  const Arguments arguments{kernel_size, stride, padding, dilation};
  const Pool2dShape shape =
      check_max_backward<int64_t>(grad_output, offsets, input_size, arguments);
  const at::Tensor grad_input = empty_input(shape, grad_output);
  const MaxPool2dTensors tensors{read(grad_output), read_only(offsets), write(grad_input)};
  return run(pool2d_kernels().max_backward, shape, tensors, grad_input,
             memory_format_of(grad_output));
}

at::Tensor max_pool2d_select(const at::Tensor& input, const at::Tensor& offsets, Sizes kernel_size,
                             Sizes stride, Sizes padding, Sizes dilation) {
  const Arguments arguments{kernel_size, stride, padding, dilation};
  const Pool2dShape shape = check_max_select<int64_t>(input, offsets, arguments);
  const at::Tensor output = empty_output(shape, input, input.scalar_type());
  const MaxPool2dTensors tensors{read(input), read_only(offsets), write(output)};
  return run(pool2d_kernels().max_select, shape, tensors, output, memory_format_of(input));
}

// The index h * W + w of input sample `offset` of the window at (p, q).
int64_t input_index(const Pool2dShape& shape, int64_t p, int64_t q, int64_t offset) {
  const int64_t h =
      p * shape.stride.h - shape.padding.h + offset / shape.kernel.w * shape.dilation.h;
  const int64_t w =
      q * shape.stride.w - shape.padding.w + offset % shape.kernel.w * shape.dilation.w;
  return h * shape.input.w + w;
}

template <class Offset>
void write_indices(const Pool2dShape& shape, const at::Tensor& offsets, const at::Tensor& indices) {
  const Offset* from = offsets.const_data_ptr<Offset>();
  int64_t* to = indices.mutable_data_ptr<int64_t>();
  const Strides4 from_stride = strides_of(offsets), to_stride = strides_of(indices);
  at::parallel_for(0, shape.batch * shape.output.h, 1, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      const int64_t n = row / shape.output.h, p = row % shape.output.h;
      for (int64_t c = 0; c < shape.channels; ++c) {
        for (int64_t q = 0; q < shape.output.w; ++q) {
          const Offset offset =
              from[n * from_stride.n + c * from_stride.c + p * from_stride.h + q * from_stride.w];
          to[n * to_stride.n + c * to_stride.c + p * to_stride.h + q * to_stride.w] =
              input_index(shape, p, q, offset);
        }
      }
    }
  });
}

at::Tensor max_pool2d_indices(const at::Tensor& offsets, Sizes input_size, Sizes kernel_size,
                              Sizes stride, Sizes padding, Sizes dilation) {
  const Pool2dShape shape =
      check_max_indices<int64_t>(offsets, input_size, {kernel_size, stride, padding, dilation});
  const at::Tensor indices = empty_output(shape, offsets, at::kLong);
  if (offsets.scalar_type() == at::kByte) {
    write_indices<uint8_t>(shape, offsets, indices);
  } else {
    write_indices<int32_t>(shape, offsets, indices);
  }
  return indices;
}

at::Tensor avg_pool2d(const at::Tensor& input, Sizes kernel_size, Sizes stride, Sizes padding,
                      bool ceil_mode, bool count_include_pad, Divisor divisor_override) {
  check_divisor("avg_pool2d", divisor_override);
  const Arguments arguments{kernel_size, stride, padding, kNoDilation};
  const Pool2dShape shape = check_pool_input<int64_t>("avg_pool2d", input, arguments, ceil_mode);
  const at::Tensor output = empty_output(shape, input, input.scalar_type());
  const AvgPool2dTensors tensors{read(input), write(output), count_include_pad,
                                 divisor_override.value_or(0)};
  return run(pool2d_kernels().avg_forward, shape, tensors, output, memory_format_of(input));
}

at::Tensor avg_pool2d_backward(const at::Tensor& grad_output, Sizes input_size, Sizes kernel_size,
                               Sizes stride, Sizes padding, bool ceil_mode, bool count_include_pad,
                               Divisor divisor_override) {
  check_divisor("avg_pool2d_backward", divisor_override);
  const Arguments arguments{kernel_size, stride, padding, kNoDilation};
  const Pool2dShape shape = check_pool_grad<int64_t>("avg_pool2d_backward", grad_output, input_size,
                                                     arguments, ceil_mode);
  const at::Tensor grad_input = empty_input(shape, grad_output);
  const AvgPool2dTensors tensors{read(grad_output), write(grad_input), count_include_pad,
                                 divisor_override.value_or(0)};
  return run(pool2d_kernels().avg_backward, shape, tensors, grad_input,
             memory_format_of(grad_output));
}

at::Tensor lp_pool2d(const at::Tensor& input, double norm_type, Sizes kernel_size, Sizes stride,
                     Sizes padding, bool ceil_mode) {
  check_norm_type("lp_pool2d", norm_type);
  const Arguments arguments{kernel_size, stride, padding, kNoDilation};
  const Pool2dShape shape = check_pool_input<int64_t>("lp_pool2d", input, arguments, ceil_mode);
  const at::Tensor output = empty_output(shape, input, input.scalar_type());
  const LPPool2dTensors tensors{read(input), {}, {}, write(output), norm_type};
  return run(pool2d_kernels().lp_forward, shape, tensors, output, memory_format_of(input));
}

at::Tensor lp_pool2d_backward(const at::Tensor& grad_output, const at::Tensor& input,
                              const at::Tensor& output, double norm_type, Sizes kernel_size,
                              Sizes stride, Sizes padding, bool ceil_mode) {
  const Arguments arguments{kernel_size, stride, padding, kNoDilation};
  const Pool2dShape shape =
      check_lp_backward<int64_t>(grad_output, input, output, norm_type, arguments, ceil_mode);
  const at::Tensor grad_input = empty_input(shape, input);
  const LPPool2dTensors tensors{read(input), read(output), read(grad_output), write(grad_input),
                                norm_type};
  return run(pool2d_kernels().lp_backward, shape, tensors, grad_input, memory_format_of(input));
}

}  // namespace
}  // namespace cnnops

TORCH_LIBRARY_IMPL(cnnops, CPU, m) {
  m.impl("max_pool2d", cnnops::max_pool2d);
  m.impl("max_pool2d_with_offsets", cnnops::max_pool2d_with_offsets);
  m.impl("max_pool2d_backward", cnnops::max_pool2d_backward);
  m.impl("max_pool2d_select", cnnops::max_pool2d_select);
  m.impl("max_pool2d_indices", cnnops::max_pool2d_indices);
  m.impl("avg_pool2d", cnnops::avg_pool2d);
  m.impl("avg_pool2d_backward", cnnops::avg_pool2d_backward);
  m.impl("lp_pool2d", cnnops::lp_pool2d);
  m.impl("lp_pool2d_backward", cnnops::lp_pool2d_backward);
}
