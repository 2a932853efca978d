// First derivatives of the operators that networks call: formulas in C++ cost a fraction of those in
// Python. They are those of the Functions of the same names in cnnops/autograd. The gradients are
// operators, too, whose own derivatives are registered there.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "operators.h"

namespace cnnops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;
using Sizes = SymSizes;
using Bias = OptionalTensor;
using Numbers = std::vector<c10::SymInt>;

// A call of an operator that autograd does not see.
template <class Operator, class... Arguments>
decltype(auto) call_below(const Operator& op, const Arguments&... arguments) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  return op.call(arguments...);
}

// A call from a backward pass, differentiable if a graph of it is asked for.
template <class Operator, class... Arguments>
decltype(auto) call_from_backward(const Operator& op, const Arguments&... arguments) {
  if (at::GradMode::is_enabled()) return op.call(arguments...);
  return call_below(op, arguments...);
}

bool requires_grad(const Tensor& tensor) { return tensor.defined() && tensor.requires_grad(); }
bool requires_grad(const Bias& tensor) { return tensor.has_value() && requires_grad(*tensor); }

template <class... Tensors>
bool is_differentiated(const Tensors&... tensors) {
  return at::GradMode::is_enabled() && (requires_grad(tensors) || ...);
}

// Lists of numbers kept for the backward pass, one behind the other.
void keep(AutogradContext* context, std::initializer_list<Sizes> lists) {
  Numbers all;
  for (const Sizes& list : lists) all.insert(all.end(), list.begin(), list.end());
  context->saved_data["numbers"] = Sizes(all);
}
Numbers kept(AutogradContext* context) { return context->saved_data["numbers"].toSymIntVector(); }

// ---- convolutions ----

// Saves each operand if the gradient of the other one is asked for, and the sizes of both.
void keep_convolution(AutogradContext* context, const Tensor& input, const Tensor& weight,
                      const Bias& bias, Sizes stride, Sizes padding, Sizes dilation,
                      const c10::SymInt& groups) {
  const c10::SymInt biased = bias.has_value();
  context->save_for_backward(
      {requires_grad(weight) ? input : Tensor(), requires_grad(input) ? weight : Tensor()});
  keep(context, {stride, padding, dilation, Sizes(&groups, 1), input.sym_sizes(),
                 weight.sym_sizes(), Sizes(&biased, 1)});
}

struct KeptConvolution {
  explicit KeptConvolution(AutogradContext* context) : numbers(kept(context)) {
    const variable_list saved = context->get_saved_variables();
    input = saved[0], weight = saved[1];
  }
  Sizes stride() const { return Sizes(numbers).slice(0, 2); }
  Sizes padding() const { return Sizes(numbers).slice(2, 4); }
  Sizes dilation() const { return Sizes(numbers).slice(6, 2); }
  const c10::SymInt& groups() const { return numbers[8]; }
  Sizes input_size() const { return Sizes(numbers).slice(9, 4); }
  Sizes weight_size() const { return Sizes(numbers).slice(13, 4); }
  bool biased() const { return numbers[17] == 1; }

  Numbers numbers;
  Tensor input, weight;
};

Tensor bias_grad(AutogradContext* context, const KeptConvolution& convolution,
                 const Tensor& grad_output) {
  if (!convolution.biased() || !context->needs_input_grad(2)) return {};
  return call_from_backward(bias_grad_op(), grad_output);
}

struct Conv2dFunction : Function<Conv2dFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& input, const Tensor& weight,
                        const Bias& bias, Sizes stride, Sizes padding, Sizes dilation,
                        const c10::SymInt& groups) {
    keep_convolution(context, input, weight, bias, stride, padding, dilation, groups);
    return call_below(conv2d_op(), input, weight, bias, stride, padding, dilation, groups);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const KeptConvolution c(context);
    Tensor grad_input, grad_weight;
    if (context->needs_input_grad(0)) {
      grad_input = call_from_backward(input_grad_op(), grads[0], c.weight, c.input_size(),
                                      c.stride(), c.padding(), c.dilation(), c.groups());
    }
    if (context->needs_input_grad(1)) {
      grad_weight = call_from_backward(weight_grad_op(), grads[0], c.input, c.weight_size(),
                                       c.stride(), c.padding(), c.dilation(), c.groups());
    }
    return {grad_input, grad_weight, bias_grad(context, c, grads[0]), {}, {}, {}, {}};
  }
};

struct ConvTranspose2dFunction : Function<ConvTranspose2dFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& input, const Tensor& weight,
                        const Bias& bias, Sizes stride, Sizes padding, Sizes dilation,
                        const c10::SymInt& groups) {
    keep_convolution(context, input, weight, bias, stride, padding, dilation, groups);
    return call_below(conv_transpose2d_op(), input, weight, bias, stride, padding, dilation,
                      groups);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const KeptConvolution c(context);
    Tensor grad_input, grad_weight;
    if (context->needs_input_grad(0)) {
      grad_input = call_from_backward(conv2d_op(), grads[0], c.weight, Bias(), c.stride(),
                                      c.padding(), c.dilation(), c.groups());
    }
    if (context->needs_input_grad(1)) {
      grad_weight = call_from_backward(weight_grad_op(), c.input, grads[0], c.weight_size(),
                                       c.stride(), c.padding(), c.dilation(), c.groups());
    }
    return {grad_input, grad_weight, bias_grad(context, c, grads[0]), {}, {}, {}, {}};
  }
};

Tensor conv2d(const Tensor& input, const Tensor& weight, const Bias& bias, Sizes stride,
              Sizes padding, Sizes dilation, c10::SymInt groups) {
  if (!is_differentiated(input, weight, bias))
    return call_below(conv2d_op(), input, weight, bias, stride, padding, dilation, groups);
  return Conv2dFunction::apply(input, weight, bias, stride, padding, dilation, groups);
}

Tensor conv_transpose2d(const Tensor& input, const Tensor& weight, const Bias& bias, Sizes stride,
                        Sizes padding, Sizes dilation, c10::SymInt groups) {
  if (!is_differentiated(input, weight, bias)) {
    return call_below(conv_transpose2d_op(), input, weight, bias, stride, padding, dilation,
                      groups);
  }
  return ConvTranspose2dFunction::apply(input, weight, bias, stride, padding, dilation, groups);
}

// ---- poolings ----

struct MaxPool2dFunction : Function<MaxPool2dFunction> {
  static variable_list forward(AutogradContext* context, const Tensor& input, Sizes kernel_size,
                               Sizes stride, Sizes padding, Sizes dilation, bool ceil_mode) {
    auto [output, offsets] =
        call_below(with_offsets_op(), input, kernel_size, stride, padding, dilation, ceil_mode);
    context->mark_non_differentiable({offsets});
    context->set_materialize_grads(false);
    context->save_for_backward({offsets});
    keep(context, {kernel_size, stride, padding, dilation, input.sym_sizes().slice(2)});
    return {output, offsets};
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    if (!grads[0].defined()) return {{}, {}, {}, {}, {}, {}};
    const Numbers numbers = kept(context);
    const auto pair = [&](size_t index) { return Sizes(numbers).slice(2 * index, 2); };
    const Tensor offsets = context->get_saved_variables()[0];
    return {call_from_backward(max_backward_op(), grads[0], offsets, pair(4), pair(0), pair(1),
                               pair(2), pair(3)),
            {},
            {},
            {},
            {},
            {}};
  }
};

std::tuple<Tensor, Tensor> max_pool2d_with_offsets(const Tensor& input, Sizes kernel_size,
                                                   Sizes stride, Sizes padding, Sizes dilation,
                                                   bool ceil_mode) {
  if (!is_differentiated(input)) {
    return call_below(with_offsets_op(), input, kernel_size, stride, padding, dilation, ceil_mode);
  }
  const variable_list results =
      MaxPool2dFunction::apply(input, kernel_size, stride, padding, dilation, ceil_mode);
  return {results[0], results[1]};
}

struct AvgPool2dFunction : Function<AvgPool2dFunction> {
  static Tensor forward(AutogradContext* context, const Tensor& input, Sizes kernel_size,
                        Sizes stride, Sizes padding, bool ceil_mode, bool count_include_pad,
                        Divisor divisor_override) {
    keep(context, {kernel_size, stride, padding, input.sym_sizes().slice(2)});
    context->saved_data["ceil_mode"] = ceil_mode;
    context->saved_data["count_include_pad"] = count_include_pad;
    context->saved_data["divisor_override"] = divisor_override;
    return call_below(avg_op(), input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                      divisor_override);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const Numbers numbers = kept(context);
    const auto pair = [&](size_t index) { return Sizes(numbers).slice(2 * index, 2); };
    auto& data = context->saved_data;
    return {call_from_backward(avg_backward_op(), grads[0], pair(3), pair(0), pair(1), pair(2),
                               data["ceil_mode"].toBool(), data["count_include_pad"].toBool(),
                               data["divisor_override"].toOptional<int64_t>()),
            {},
            {},
            {},
            {},
            {},
            {}};
  }
};

Tensor avg_pool2d(const Tensor& input, Sizes kernel_size, Sizes stride, Sizes padding,
                  bool ceil_mode, bool count_include_pad, Divisor divisor_override) {
  if (!is_differentiated(input)) {
    return call_below(avg_op(), input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                      divisor_override);
  }
  return AvgPool2dFunction::apply(input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                                  divisor_override);
}

}  // namespace
}  // namespace cnnops

TORCH_LIBRARY_IMPL(cnnops, Autograd, m) {
  m.impl("conv2d", cnnops::conv2d);
  m.impl("conv_transpose2d", cnnops::conv_transpose2d);
  m.impl("max_pool2d_with_offsets", cnnops::max_pool2d_with_offsets);
  m.impl("avg_pool2d", cnnops::avg_pool2d);
}
