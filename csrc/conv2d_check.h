// From the arguments of the convolution operators to their checked shape, for numbers and for
// symbols.
#pragma once

#include <array>
#include <optional>

#include "check.h"

namespace cnnops {

// The arguments that all convolution operators take.
template <class Int>
struct Conv2dArguments {
  at::ArrayRef<Int> stride;    // h, w
  at::ArrayRef<Int> padding;   // top, bottom, left, right
  at::ArrayRef<Int> dilation;  // h, w
  Int groups;
};

template <class Int>
std::array<Int, 4> input_sizes(const BasicConv2dShape<Int>& shape) {
  return {shape.batch, shape.in_channels, shape.input.h, shape.input.w};
}
template <class Int>
std::array<Int, 4> output_sizes(const BasicConv2dShape<Int>& shape) {
  return {shape.batch, shape.out_channels, shape.output.h, shape.output.w};
}

template <class Int>
BasicEdges<Int> check_padding(const char* op, at::ArrayRef<Int> padding) {
  TORCH_CHECK(padding.size() == 4, op,
              ": padding must hold 4 numbers (top, bottom, left, right), got ", padding);
  for (const Int& edge : padding) {
    TORCH_CHECK(edge >= -kLargestArgument && edge <= kLargestArgument, op,
                ": padding must be between ", -kLargestArgument, " and ", kLargestArgument,
                ", got ", padding);
  }
  return {padding[0], padding[1], padding[2], padding[3]};
}

// The shape without its output, which depends on what an operator knows.
template <class Int>
BasicConv2dShape<Int> check_filter(const char* op, const char* weight_name,
                                   at::ArrayRef<Int> weight,
                                   const Conv2dArguments<Int>& arguments) {
  BasicConv2dShape<Int> shape{};
  shape.groups = arguments.groups;
  TORCH_CHECK(shape.groups >= 1 && shape.groups <= kLargestArgument, op,
              ": groups must be between 1 and ", kLargestArgument, ", got ", shape.groups);
  TORCH_CHECK(weight.size() == 4, op, ": ", weight_name, " must hold 4 sizes, got ", weight);
  for (const Int& size : weight.slice(0, 2)) {
    TORCH_CHECK(size >= 0 && size <= kLargestExtent / shape.groups, op, ": ", weight_name,
                " must have channels between 0 and ", kLargestExtent, " / groups, got sizes ",
                weight);
  }
  shape.out_channels = weight[0];
  shape.in_channels = weight[1] * shape.groups;
  shape.kernel = check_pair<Int>(op, "kernel size", weight.slice(2), 1);
  shape.stride = check_pair<Int>(op, "stride", arguments.stride, 1);
  shape.dilation = check_pair<Int>(op, "dilation", arguments.dilation, 1);
  shape.padding = check_padding<Int>(op, arguments.padding);
  TORCH_CHECK(shape.out_channels % shape.groups == 0, op, ": ", weight_name,
              " must have a first dimension that groups = ", shape.groups, " divides, got sizes ",
              weight);
  return shape;
}

template <class Int>
void check_fits(const char* op, const char* name, const char* axis, const Int& size,
                const Int& before, const Int& after, const Int& kernel, const Int& dilation) {
  TORCH_CHECK(size + before + after >= window_extent(kernel, dilation), op, ": ", name,
              " must have a padded ", axis,
              " of at least the kernel's extent dilation * (kernel size - 1) + 1 = ",
              window_extent(kernel, dilation), ", got ", size, " + ", before, " + ", after);
}

// The whole shape, from the sizes of the convolution's input.
template <class Int>
BasicConv2dShape<Int> check_conv2d(const char* op, const char* input_name, at::ArrayRef<Int> input,
                                   const char* weight_name, at::ArrayRef<Int> weight,
                                   const Conv2dArguments<Int>& arguments) {
  BasicConv2dShape<Int> shape = check_filter<Int>(op, weight_name, weight, arguments);
  TORCH_CHECK(input.size() == 4, op, ": ", input_name, " must hold 4 sizes, got ", input);
  for (const Int& size : input) {
    TORCH_CHECK(size >= 0 && size <= kLargestExtent, op, ": ", input_name,
                " must have sizes between 0 and ", kLargestExtent, ", got ", input);
  }
  TORCH_CHECK(input[1] % shape.groups == 0, op, ": ", input_name,
              " must have channels that groups = ", shape.groups, " divides, got ", input[1],
              " channels");
  TORCH_CHECK(input[1] == shape.in_channels, op, ": ", input_name, " must have ", weight_name,
              ".size(1) * groups = ", shape.in_channels, " channels, got ", input[1]);
  shape.batch = input[0];
  shape.input = {input[2], input[3]};
  const BasicEdges<Int>& padding = shape.padding;
  check_fits<Int>(op, input_name, "height", shape.input.h, padding.top, padding.bottom,
                  shape.kernel.h, shape.dilation.h);
  check_fits<Int>(op, input_name, "width", shape.input.w, padding.left, padding.right,
                  shape.kernel.w, shape.dilation.w);
  shape.output = {windows_that_fit<Int>(shape.input.h + padding.top + padding.bottom,
                                        shape.kernel.h, shape.stride.h, shape.dilation.h),
                  windows_that_fit<Int>(shape.input.w + padding.left + padding.right,
                                        shape.kernel.w, shape.stride.w, shape.dilation.w)};
  return shape;
}

// The shape of the convolution whose output has the sizes of `output`, and whose input is the
// smallest such.
template <class Int>
BasicConv2dShape<Int> check_conv_transpose2d(const char* op, at::ArrayRef<Int> output,
                                             at::ArrayRef<Int> weight,
                                             const Conv2dArguments<Int>& arguments) {
  BasicConv2dShape<Int> shape = check_filter<Int>(op, "weight", weight, arguments);
  TORCH_CHECK(output[1] == shape.out_channels, op,
              ": input must have weight.size(0) = ", shape.out_channels, " channels, got ",
              output[1]);
  shape.batch = output[0];
  shape.output = {output[2], output[3]};
  TORCH_CHECK(
      output[2] <= kLargestExtent / shape.stride.h && output[3] <= kLargestExtent / shape.stride.w,
      op, ": input must have a height and width of at most ", kLargestExtent, " / stride, got ",
      output[2], " x ", output[3]);
  shape.input = {
      (output[2] - 1) * shape.stride.h + window_extent(shape.kernel.h, shape.dilation.h) -
          shape.padding.top - shape.padding.bottom,
      (output[3] - 1) * shape.stride.w + window_extent(shape.kernel.w, shape.dilation.w) -
          shape.padding.left - shape.padding.right};
  TORCH_CHECK(output[2] > 0 && output[3] > 0 && shape.input.h > 0 && shape.input.w > 0, op,
              ": input must be large enough for a result of at least 1 x 1, got ", output[2], " x ",
              output[3], ", which gives ", shape.input.h, " x ", shape.input.w);
  return shape;
}

template <class Int>
void check_bias(const char* op, const std::optional<at::Tensor>& bias, const at::Tensor& input,
                const Int& channels) {
  if (!bias.has_value()) return;
  check_tensor(op, "bias", *bias, 1);
  check_matches(op, "bias", *bias, "input", input);
  check_sizes<Int>(op, "bias", sizes_of<Int>(*bias), std::array{channels}, "one an output channel");
}

// The checks of each operator; they return the shape of the convolution it is, or is a gradient of.

template <class Int>
BasicConv2dShape<Int> check_forward(const at::Tensor& input, const at::Tensor& weight,
                                    const std::optional<at::Tensor>& bias,
                                    const Conv2dArguments<Int>& arguments) {
  constexpr const char* op = "conv2d";
  check_tensor(op, "input", input, 4);
  check_tensor(op, "weight", weight, 4);
  check_matches(op, "weight", weight, "input", input);
  const auto shape = check_conv2d<Int>(op, "input", sizes_of<Int>(input), "weight",
                                       sizes_of<Int>(weight), arguments);
  check_bias<Int>(op, bias, input, shape.out_channels);
  check_countable(op, output_sizes(shape), input);
  return shape;
}

template <class Int>
BasicConv2dShape<Int> check_transpose(const at::Tensor& input, const at::Tensor& weight,
                                      const std::optional<at::Tensor>& bias,
                                      const Conv2dArguments<Int>& arguments) {
  constexpr const char* op = "conv_transpose2d";
  check_tensor(op, "input", input, 4);
  check_tensor(op, "weight", weight, 4);
  check_matches(op, "weight", weight, "input", input);
  const auto shape =
      check_conv_transpose2d<Int>(op, sizes_of<Int>(input), sizes_of<Int>(weight), arguments);
  check_bias<Int>(op, bias, input, shape.in_channels);
  check_countable(op, input_sizes(shape), input);
  return shape;
}

template <class Int>
BasicConv2dShape<Int> check_input_grad(const at::Tensor& grad_output, const at::Tensor& weight,
                                       at::ArrayRef<Int> input_size,
                                       const Conv2dArguments<Int>& arguments) {
  constexpr const char* op = "conv2d_input_grad";
  check_tensor(op, "grad_output", grad_output, 4);
  check_tensor(op, "weight", weight, 4);
  check_matches(op, "weight", weight, "grad_output", grad_output);
  const auto shape =
      check_conv2d<Int>(op, "input_size", input_size, "weight", sizes_of<Int>(weight), arguments);
  check_sizes<Int>(op, "grad_output", sizes_of<Int>(grad_output), output_sizes(shape),
                   "those of the output");
  check_countable(op, input_size, grad_output);
  return shape;
}

template <class Int>
BasicConv2dShape<Int> check_weight_grad(const at::Tensor& grad_output, const at::Tensor& input,
                                        at::ArrayRef<Int> weight_size,
                                        const Conv2dArguments<Int>& arguments) {
  constexpr const char* op = "conv2d_weight_grad";
  check_tensor(op, "grad_output", grad_output, 4);
  check_tensor(op, "input", input, 4);
  check_matches(op, "input", input, "grad_output", grad_output);
  const auto shape =
      check_conv2d<Int>(op, "input", sizes_of<Int>(input), "weight_size", weight_size, arguments);
  check_sizes<Int>(op, "grad_output", sizes_of<Int>(grad_output), output_sizes(shape),
                   "those of the output");
  check_countable(op, weight_size, grad_output);
  return shape;
}

}  // namespace cnnops
