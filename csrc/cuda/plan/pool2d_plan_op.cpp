// Registers _cuda_pool2d_launches: what the plans of the pooling operators launch.
#include <torch/library.h>

#include "../../pool2d_check.h"
#include "../../tensors.h"
#include "launch_list.h"
#include "pool2d_plan.h"

namespace cnnops::cuda {
namespace {

// Tensors of which only the address counts; it replaces that of their memory.
class Views {
 public:
  Views(at::TensorList tensors, at::IntArrayRef addresses)
      : tensors_(tensors), addresses_(addresses) {
    TORCH_CHECK(tensors.size() == addresses.size(),
                "_cuda_pool2d_launches: addresses must be as many as tensors, ", tensors.size(),
                ", got ", addresses.size());
  }

  MutableTensor write(size_t i) const {
    TORCH_CHECK(i < tensors_.size(), "_cuda_pool2d_launches: tensors must hold at least ", i + 1,
                " for this operator, got ", tensors_.size());
    return {reinterpret_cast<void*>(addresses_[i]), strides_of(tensors_[i])};
  }
  ConstTensor read(size_t i) const {
    const MutableTensor view = write(i);
    return {view.data, view.stride};
  }

 private:
  at::TensorList tensors_;
  at::IntArrayRef addresses_;
};

LaunchList launches(const std::string& op, at::TensorList tensors, at::IntArrayRef addresses,
                    at::IntArrayRef input_size, at::IntArrayRef kernel_size, at::IntArrayRef stride,
                    at::IntArrayRef padding, at::IntArrayRef dilation, bool ceil_mode,
                    at::ScalarType dtype, bool channels_last, bool count_include_pad,
                    int64_t divisor_override, double norm_type) {
  const Pool2dShape shape = check_pool2d<int64_t>(
      "_cuda_pool2d_launches", input_size, {kernel_size, stride, padding, dilation}, ceil_mode);
  const Pool2dProblem problem{shape, dtype_of(dtype), channels_last};
  const Views at(tensors, addresses);
  const auto avg = [&]() -> AvgPool2dTensors {
    return {at.read(0), at.write(1), count_include_pad, divisor_override};
  };
  if (op == "max_pool2d")
    return launch_list(plan_max_pool2d(problem, {at.read(0), {}, at.write(1)}));
  if (op == "max_pool2d_with_offsets")
    return launch_list(
        plan_max_pool2d_with_offsets(problem, {at.read(0), at.write(2), at.write(1)}));
  if (op == "max_pool2d_backward")
    return launch_list(plan_max_pool2d_backward(problem, {at.read(0), at.write(1), at.write(2)}));
  if (op == "max_pool2d_select")
    return launch_list(plan_max_pool2d_select(problem, {at.read(0), at.write(1), at.write(2)}));
  if (op == "max_pool2d_indices")
    return launch_list(plan_max_pool2d_indices(problem, {{}, at.write(0), at.write(1)}));
  if (op == "avg_pool2d") return launch_list(plan_avg_pool2d(problem, avg()));
  if (op == "avg_pool2d_backward") return launch_list(plan_avg_pool2d_backward(problem, avg()));
  if (op == "lp_pool2d")
    return launch_list(plan_lp_pool2d(problem, {at.read(0), {}, {}, at.write(1), norm_type}));
  if (op == "lp_pool2d_backward")
    return launch_list(plan_lp_pool2d_backward(
        problem, {at.read(1), at.read(2), at.read(0), at.write(3), norm_type}));
  TORCH_CHECK(false, "_cuda_pool2d_launches: op must be the name of a pooling operator, got '", op,
              "'");
}

}  // namespace
}  // namespace cnnops::cuda

TORCH_LIBRARY_FRAGMENT(cnnops, m) {
  // `tensors` are those that the operator takes and then those it returns, in its order, and
  // `input_size` that of the pooling's input; `addresses` replace those of the tensors, whose own
  // memory is never touched.
  const std::string schema =
      "_cuda_pool2d_launches(str op, Tensor[] tensors, int[] addresses, int[4] input_size, "
      "int[2] kernel_size, int[2] stride, int[2] padding, int[2] dilation, bool ceil_mode, "
      "ScalarType dtype, bool channels_last, bool count_include_pad=True, "
      "int divisor_override=0, float norm_type=2.0) -> ";
  m.def((schema + cnnops::cuda::kLaunchListSchema).c_str(), cnnops::cuda::launches);
}
