// The operators that networks call and their gradients, as C++ calls them: through the dispatcher,
// by name and signature.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

namespace cnnops {

using SymSizes = c10::SymIntArrayRef;
using OptionalTensor = std::optional<at::Tensor>;
using Divisor = std::optional<int64_t>;

// The operator of a name and signature, looked up once a call site.
template <class Signature>
c10::TypedOperatorHandle<Signature> find(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

// ---- convolutions ----

using Convolution = at::Tensor(const at::Tensor&, const at::Tensor&, const OptionalTensor&,
                               SymSizes, SymSizes, SymSizes, c10::SymInt);
using ConvolutionGrad = at::Tensor(const at::Tensor&, const at::Tensor&, SymSizes, SymSizes,
                                   SymSizes, SymSizes, c10::SymInt);

inline const auto& conv2d_op() {
  static const auto op = find<Convolution>("cnnops::conv2d");
  return op;
}
inline const auto& conv_transpose2d_op() {
  static const auto op = find<Convolution>("cnnops::conv_transpose2d");
  return op;
}
inline const auto& input_grad_op() {
  static const auto op = find<ConvolutionGrad>("cnnops::conv2d_input_grad");
  return op;
}
inline const auto& weight_grad_op() {
  static const auto op = find<ConvolutionGrad>("cnnops::conv2d_weight_grad");
  return op;
}
inline const auto& bias_grad_op() {
  static const auto op = find<at::Tensor(const at::Tensor&)>("cnnops::conv2d_bias_grad");
  return op;
}

// ---- poolings ----

inline const auto& max_op() {
  static const auto op =
      find<at::Tensor(const at::Tensor&, SymSizes, SymSizes, SymSizes, SymSizes, bool)>(
          "cnnops::max_pool2d");
  return op;
}
inline const auto& with_offsets_op() {
  static const auto op =
      find<std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, SymSizes, SymSizes, SymSizes,
                                              SymSizes, bool)>("cnnops::max_pool2d_with_offsets");
  return op;
}
inline const auto& max_backward_op() {
  static const auto op =
      find<at::Tensor(const at::Tensor&, const at::Tensor&, SymSizes, SymSizes, SymSizes, SymSizes,
                      SymSizes)>("cnnops::max_pool2d_backward");
  return op;
}
inline const auto& avg_op() {
  static const auto op =
      find<at::Tensor(const at::Tensor&, SymSizes, SymSizes, SymSizes, bool, bool, Divisor)>(
          "cnnops::avg_pool2d");
  return op;
}
inline const auto& avg_backward_op() {
  static const auto op = find<at::Tensor(const at::Tensor&, SymSizes, SymSizes, SymSizes, SymSizes,
                                         bool, bool, Divisor)>("cnnops::avg_pool2d_backward");
  return op;
}

}  // namespace cnnops
