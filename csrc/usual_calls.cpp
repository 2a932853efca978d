// Calls as networks make them, from Python to the operators without a detour: plain tensors, images
// in a batch, sizes that are ints or pairs of ints, and nothing that traces or transforms the call.
// Any other call gets None and takes the long way of cnnops/functional.py, which also has the words
// for arguments of a wrong type.
#include <ATen/PythonTorchFunctionTLS.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/forward_grad.h>
#include <torch/csrc/autograd/python_variable.h>

#include <algorithm>
#include <array>

#include "operators.h"

namespace py = pybind11;

namespace cnnops {
namespace {

using Object = py::handle;
using SymPair = std::array<c10::SymInt, 2>;

// Turns Python's arguments into the operators', and notes whether one of them is not usual.
class Arguments {
 public:
  bool are_usual() const { return are_usual_; }

  at::Tensor tensor(Object value) {
    return require(THPVariable_CheckExact(value.ptr())) ? THPVariable_Unpack(value.ptr())
                                                        : at::Tensor();
  }
  at::Tensor images(Object value) {
    at::Tensor images = tensor(value);
    require(images.defined() && images.dim() == 4);
    return images;
  }
  OptionalTensor optional_tensor(Object value) {
    if (value.is_none()) return std::nullopt;
    return tensor(value);
  }

  int64_t integer(Object value) {
    if (!require(PyLong_CheckExact(value.ptr()))) return 0;
    int overflow = 0;
    const int64_t number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
    require(overflow == 0);
    return number;
  }
  std::optional<int64_t> optional_integer(Object value) {
    if (value.is_none()) return std::nullopt;
    return integer(value);
  }
  bool boolean(Object value) {
    require(PyBool_Check(value.ptr()));
    return value.ptr() == Py_True;
  }

  // (height, width) of an int or a pair.
  SymPair pair(Object value) {
    if (!PyTuple_CheckExact(value.ptr())) {
      const int64_t number = integer(value);
      return {number, number};
    }
    if (!require(PyTuple_GET_SIZE(value.ptr()) == 2)) return {};
    return {integer(PyTuple_GET_ITEM(value.ptr(), 0)), integer(PyTuple_GET_ITEM(value.ptr(), 1))};
  }
  SymPair padding(Object value) {
    const SymPair padding = pair(value);
    require(padding[0] >= 0 && padding[1] >= 0);
    return padding;
  }
  SymPair pool_stride(Object value, const SymPair& kernel_size) {
    return value.is_none() ? kernel_size : pair(value);
  }

 private:
  bool require(bool condition) {
    are_usual_ = are_usual_ && condition;
    return condition;
  }

  bool are_usual_ = true;
};

// Whether Python has to see the call: modes, transforms, forward-mode differentiation.
bool is_intercepted() {
  constexpr uint64_t kForwardLevel = 0;  // There is no other one.
  return at::impl::torch_function_mode_enabled() ||
         c10::impl::tls_is_dispatch_key_included(
             c10::DispatchKey::FuncTorchDynamicLayerFrontMode) ||
         torch::autograd::ForwardADLevel::try_get_by_idx(kForwardLevel) != nullptr;
}

bool is_any_autocast_enabled() {
  const auto& devices = at::autocast::_AUTOCAST_SUPPORTED_DEVICES;
  return std::any_of(devices.begin(), devices.end(), at::autocast::is_autocast_enabled);
}

// What an operator returns, or None for a call that is not usual.
template <class Operator>
py::object call_usual(const Arguments& arguments, Operator call) {
  if (!arguments.are_usual() || is_intercepted()) return py::none();
  try {
    at::Tensor result = [&] {
      const py::gil_scoped_release released;
      return call();
    }();
    return py::reinterpret_steal<py::object>(THPVariable_Wrap(std::move(result)));
  } catch (const c10::NotImplementedError&) {
    return py::none();
  }
}

py::object conv2d(Object input, Object weight, Object bias, Object stride, Object padding,
                  Object dilation, Object groups) {
  if (is_any_autocast_enabled()) return py::none();
  Arguments a;
  const at::Tensor x = a.images(input), w = a.tensor(weight);
  const OptionalTensor b = a.optional_tensor(bias);
  const SymPair steps = a.pair(stride), zeros = a.padding(padding), gaps = a.pair(dilation);
  const std::array<c10::SymInt, 4> sides{zeros[0], zeros[0], zeros[1], zeros[1]};
  const int64_t parts = a.integer(groups);
  return call_usual(a, [&] { return conv2d_op().call(x, w, b, steps, sides, gaps, parts); });
}

py::object max_pool2d(Object input, Object kernel_size, Object stride, Object padding,
                      Object dilation, Object ceil_mode) {
  Arguments a;
  const at::Tensor x = a.images(input);
  const SymPair kernel = a.pair(kernel_size), steps = a.pool_stride(stride, kernel);
  const SymPair zeros = a.pair(padding), gaps = a.pair(dilation);
  const bool ceil = a.boolean(ceil_mode);
  return call_usual(a, [&] {
    if (at::GradMode::is_enabled() && x.requires_grad()) {
      return std::get<0>(with_offsets_op().call(x, kernel, steps, zeros, gaps, ceil));
    }
    const at::AutoDispatchBelowADInplaceOrView guard;
    return max_op().call(x, kernel, steps, zeros, gaps, ceil);
  });
}

py::object avg_pool2d(Object input, Object kernel_size, Object stride, Object padding,
                      Object ceil_mode, Object count_include_pad, Object divisor_override) {
  Arguments a;
  const at::Tensor x = a.images(input);
  const SymPair kernel = a.pair(kernel_size), steps = a.pool_stride(stride, kernel);
  const SymPair zeros = a.pair(padding);
  const bool ceil = a.boolean(ceil_mode), include = a.boolean(count_include_pad);
  const Divisor divisor = a.optional_integer(divisor_override);
  return call_usual(a,
                    [&] { return avg_op().call(x, kernel, steps, zeros, ceil, include, divisor); });
}

}  // namespace
}  // namespace cnnops

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  module.doc() = "The operators (torch.ops.cnnops) and the usual way of calls to them.";
  module.def("conv2d", torch::wrap_pybind_function(cnnops::conv2d));
  module.def("max_pool2d", torch::wrap_pybind_function(cnnops::max_pool2d));
  module.def("avg_pool2d", torch::wrap_pybind_function(cnnops::avg_pool2d));
}
