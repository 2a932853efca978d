// From the arguments of the pooling operators to their checked shape, for numbers and for symbols.
#pragma once

#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "check.h"
#include "pool2d_shape.h"

namespace cnnops {

template <class Int>
struct Pool2dArguments {
  at::ArrayRef<Int> kernel_size, stride, padding, dilation;  // h, w
};

template <class Int>
std::array<Int, 4> input_sizes(const BasicPool2dShape<Int>& shape) {
  return {shape.batch, shape.channels, shape.input.h, shape.input.w};
}
template <class Int>
std::array<Int, 4> output_sizes(const BasicPool2dShape<Int>& shape) {
  return {shape.batch, shape.channels, shape.output.h, shape.output.w};
}

template <class Int>
void check_pool_axis(const char* op, const char* axis, const Int& input, const Int& kernel,
                     const Int& padding, const Int& dilation) {
  const Int extent = window_extent(kernel, dilation);
  TORCH_CHECK(padding * 2 <= extent, op, ": padding must be at most half the window's ", axis,
              " dilation * (kernel_size - 1) + 1 = ", extent, ", got ", padding);
  TORCH_CHECK(input > 0 && input <= kLargestExtent, op, ": input must have a ", axis,
              " between 1 and ", kLargestExtent, ", got ", input);
}

// `sizes` are (N, C, H, W) of the input. The output may come out empty.
template <class Int>
BasicPool2dShape<Int> check_windows(const char* op, at::ArrayRef<Int> sizes,
                                    const Pool2dArguments<Int>& arguments, bool ceil_mode) {
  TORCH_CHECK(sizes.size() == 4, op, ": input must have 4 sizes, got ", sizes);
  BasicPool2dShape<Int> shape{};
  shape.batch = sizes[0];
  shape.channels = sizes[1];
  shape.input = {sizes[2], sizes[3]};
  shape.kernel = check_pair<Int>(op, "kernel_size", arguments.kernel_size, 1);
  shape.stride = check_pair<Int>(op, "stride", arguments.stride, 1);
  shape.padding = check_pair<Int>(op, "padding", arguments.padding, 0);
  shape.dilation = check_pair<Int>(op, "dilation", arguments.dilation, 1);
  TORCH_CHECK(shape.channels > 0, op, ": input must have at least 1 channel, got sizes ", sizes);
  check_pool_axis<Int>(op, "height", shape.input.h, shape.kernel.h, shape.padding.h,
                       shape.dilation.h);
  check_pool_axis<Int>(op, "width", shape.input.w, shape.kernel.w, shape.padding.w,
                       shape.dilation.w);
  shape.output = {pooled_extent<Int>(shape.input.h, shape.kernel.h, shape.stride.h, shape.padding.h,
                                     shape.dilation.h, ceil_mode),
                  pooled_extent<Int>(shape.input.w, shape.kernel.w, shape.stride.w, shape.padding.w,
                                     shape.dilation.w, ceil_mode)};
  return shape;
}

template <class Int>
BasicPool2dShape<Int> check_pool2d(const char* op, at::ArrayRef<Int> sizes,
                                   const Pool2dArguments<Int>& arguments, bool ceil_mode) {
  const auto shape = check_windows<Int>(op, sizes, arguments, ceil_mode);
  TORCH_CHECK(shape.output.h > 0 && shape.output.w > 0, op,
              ": input must be large enough for a result of at least 1 x 1, got ", shape.input.h,
              " x ", shape.input.w, ", which gives ", shape.output.h, " x ", shape.output.w);
  return shape;
}

// The checks of each operator; they return the shape of the pooling it is, or is a gradient of.

template <class Int>
BasicPool2dShape<Int> check_pool_input(const char* op, const at::Tensor& input,
                                       const Pool2dArguments<Int>& arguments, bool ceil_mode) {
  check_tensor(op, "input", input, 4);
  const auto shape = check_pool2d<Int>(op, sizes_of<Int>(input), arguments, ceil_mode);
  check_countable(op, output_sizes(shape), input);
  return shape;
}

template <class Int>
void check_map_size(const char* op, at::ArrayRef<Int> input_size) {
  TORCH_CHECK(input_size.size() == 2, op, ": input_size must hold 2 numbers (height, width), got ",
              input_size);
}

// From grad_output and the height and width of the input.
template <class Int>
BasicPool2dShape<Int> check_pool_grad(const char* op, const at::Tensor& grad_output,
                                      at::ArrayRef<Int> input_size,
                                      const Pool2dArguments<Int>& arguments, bool ceil_mode) {
  check_tensor(op, "grad_output", grad_output, 4);
  check_map_size<Int>(op, input_size);
  const at::ArrayRef<Int> sizes = sizes_of<Int>(grad_output);
  const std::array<Int, 4> input{sizes[0], sizes[1], input_size[0], input_size[1]};
  const auto shape = check_pool2d<Int>(op, input, arguments, ceil_mode);
  check_sizes<Int>(op, "grad_output", sizes, output_sizes(shape), "those of the output");
  check_countable(op, input, grad_output);
  return shape;
}

// The type of offsets inside a window.
template <class Int>
at::ScalarType offset_dtype(const char* op, const Int& kernel_h, const Int& kernel_w) {
  TORCH_CHECK(kernel_h * kernel_w <= kLargestArgument, op,
              ": kernel_size must give windows of at most ", kLargestArgument,
              " samples to keep their offsets, got ", kernel_h, " x ", kernel_w);
  return kernel_h * kernel_w <= kSmallWindow ? at::kByte : at::kInt;
}

// The shape whose output `offsets` belongs to: the arguments leave open whether ceil_mode was on,
// its sizes tell.
template <class Int>
BasicPool2dShape<Int> check_offsets(const char* op, const at::Tensor& offsets,
                                    at::ArrayRef<Int> input,
                                    const Pool2dArguments<Int>& arguments) {
  const at::ArrayRef<Int> sizes = sizes_of<Int>(offsets);
  const auto floor_shape = check_windows<Int>(op, input, arguments, false);
  const auto ceil_shape = check_windows<Int>(op, input, arguments, true);
  const bool is_floor = sizes.equals(output_sizes(floor_shape));
  const auto& shape = is_floor ? floor_shape : ceil_shape;
  check_sizes<Int>(op, "offsets", sizes, output_sizes(shape), "those of the output");
  const at::ScalarType dtype = offset_dtype(op, shape.kernel.h, shape.kernel.w);
  TORCH_CHECK(offsets.scalar_type() == dtype, op, ": offsets must be ", dtype_name(dtype),
              " for this kernel_size, got ", dtype_name(offsets.scalar_type()));
  return shape;
}

inline void check_offsets_device(const char* op, const at::Tensor& offsets, const char* like_name,
                                 const at::Tensor& like) {
  TORCH_CHECK(offsets.device() == like.device(), op, ": offsets must be on ", like_name,
              "'s device ", like.device(), ", got ", offsets.device());
}

template <class Int>
BasicPool2dShape<Int> check_max_backward(const at::Tensor& grad_output, const at::Tensor& offsets,
                                         at::ArrayRef<Int> input_size,
                                         const Pool2dArguments<Int>& arguments) {
  constexpr const char* op = "max_pool2d_backward";
  check_tensor(op, "grad_output", grad_output, 4);
  check_offsets_device(op, offsets, "grad_output", grad_output);
  check_map_size<Int>(op, input_size);
  const at::ArrayRef<Int> sizes = sizes_of<Int>(grad_output);
  const std::array<Int, 4> input{sizes[0], sizes[1], input_size[0], input_size[1]};
  const auto shape = check_offsets<Int>(op, offsets, input, arguments);
  check_sizes<Int>(op, "grad_output", sizes, output_sizes(shape), "those of offsets");
  check_countable(op, input, grad_output);
  return shape;
}

template <class Int>
BasicPool2dShape<Int> check_max_select(const at::Tensor& input, const at::Tensor& offsets,
                                       const Pool2dArguments<Int>& arguments) {
  constexpr const char* op = "max_pool2d_select";
  check_tensor(op, "input", input, 4);
  check_offsets_device(op, offsets, "input", input);
  return check_offsets<Int>(op, offsets, sizes_of<Int>(input), arguments);
}

template <class Int>
BasicPool2dShape<Int> check_max_indices(const at::Tensor& offsets, at::ArrayRef<Int> input_size,
                                        const Pool2dArguments<Int>& arguments) {
  constexpr const char* op = "max_pool2d_indices";
  const at::ArrayRef<Int> sizes = sizes_of<Int>(offsets);
  TORCH_CHECK(sizes.size() == 4, op, ": offsets must have 4 dimensions, got sizes ", sizes);
  check_map_size<Int>(op, input_size);
  const std::array<Int, 4> input{sizes[0], sizes[1], input_size[0], input_size[1]};
  return check_offsets<Int>(op, offsets, input, arguments);
}

inline void check_divisor(const char* op, std::optional<int64_t> divisor_override) {
  TORCH_CHECK(divisor_override.value_or(1) != 0, op, ": divisor_override must not be 0, got 0");
}

inline void check_norm_type(const char* op, double norm_type) {
  TORCH_CHECK(std::isfinite(norm_type) && norm_type != 0, op,
              ": norm_type must be finite and not 0, got ", norm_type);
}

template <class Int>
BasicPool2dShape<Int> check_lp_backward(const at::Tensor& grad_output, const at::Tensor& input,
                                        const at::Tensor& output, double norm_type,
                                        const Pool2dArguments<Int>& arguments, bool ceil_mode) {
  constexpr const char* op = "lp_pool2d_backward";
  check_norm_type(op, norm_type);
  const auto shape = check_pool_input<Int>(op, input, arguments, ceil_mode);
  for (const auto& [name, tensor] :
       {std::pair{"grad_output", grad_output}, std::pair{"output", output}}) {
    check_tensor(op, name, tensor, 4);
    check_matches(op, name, tensor, "input", input);
    check_sizes<Int>(op, name, sizes_of<Int>(tensor), output_sizes(shape), "those of the output");
  }
  return shape;
}

}  // namespace cnnops
