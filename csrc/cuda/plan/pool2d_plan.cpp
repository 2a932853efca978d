#include "pool2d_plan.h"

#include <algorithm>
#include <numeric>

#include "../../correlation.h"
#include "../pool2d_params.h"
#include "element_type.h"

namespace cnnops::cuda {
namespace {

ElementType offset_type(const Pool2dProblem& problem) {
  const Pair& kernel = problem.shape.kernel;
  if (kernel.h * kernel.w <= kSmallWindow) return {"unsigned char", 1};
  return {"int", 4};
}

// The inverse of `value` modulo `modulus`, which share no divisor.
int64_t inverse_of(int64_t value, int64_t modulus) {
  int64_t larger = modulus, smaller = value % modulus, of_larger = 0, of_smaller = 1;
  while (smaller != 0) {
    const int64_t quotient = larger / smaller;
    std::swap(larger -= quotient * smaller, smaller);
    std::swap(of_larger -= quotient * of_smaller, of_smaller);
  }
  return (of_larger % modulus + modulus) % modulus;
}

Pool2dAxis pool2d_axis(const WindowAxis& axis) {
  const int64_t common = std::gcd(axis.stride, axis.dilation);
  const int64_t period = axis.stride / common, step = axis.dilation / common;
  return {.input = axis.input,
          .output = axis.output,
          .kernel = axis.kernel,
          .padding = axis.padding,
          .inverse = inverse_of(step, period),
          .stride = divider(axis.stride),
          .dilation = divider(axis.dilation),
          .common = divider(common),
          .period = divider(period),
          .step = divider(step)};
}

// About those that the largest GPUs hold at once.
constexpr int64_t kManyThreads = int64_t(1) << 18;

ConstTensor as_const(const MutableTensor& tensor) { return {tensor.data, tensor.stride}; }

// From the input to the output, or from the output back to the input.
enum class Direction { kForward, kBackward };

// One launch in the making: its parameters, and how a thread can take a group of channels at once.
class Pool2dLaunch {
 public:
  Pool2dLaunch(const Pool2dProblem& problem, Direction direction)
      : params{},
        group_(kPool2dGroupBytes / element_type(problem.dtype).bytes),
        vectors_(problem.shape.channels % group_ == 0),
        batch_(problem.shape.batch) {
    const WindowGrid grid = window_grid(problem.shape);
    const bool forward = direction == Direction::kForward;
    const Pair result = forward ? problem.shape.output : problem.shape.input;
    params.channels = problem.shape.channels;
    params.channels_last = problem.channels_last;
    params.rows = result.h;
    params.columns = divider(result.w);
    params.plane = problem.channels_last ? 1 : result.h * result.w;
    params.row = problem.channels_last ? result.w * params.channels : result.w;
    params.h = pool2d_axis(grid.h);
    params.w = pool2d_axis(grid.w);
    tap_step_ = {(forward ? params.h.dilation : params.h.step).divisor,
                 (forward ? params.w.dilation : params.w.step).divisor};
  }

  // At the samples of a window.
  void read(Pool2dOperand& place, const ConstTensor& tensor, const ElementType& type) {
    place = {tensor.data, tensor.stride, tap_step_.h * tensor.stride.h,
             tap_step_.w * tensor.stride.w};
    look_at(tensor, type);
  }
  // At the position of the result.
  void read(ConstTensor& place, const ConstTensor& tensor, const ElementType& type) {
    place = tensor;
    look_at(tensor, type);
  }
  void write(void*& place, const MutableTensor& tensor, const ElementType& type) {
    place = tensor.data;
    vectors_ = vectors_ && aligned(tensor.data, type);
  }

  // The operation's kernel of the result's memory format.
  Plan windows(const std::string& op) const {
    if (params.channels_last) return channels(op, vectors_ ? group_ : 1);
    if (!one_image_) return rows(op, group_);
    Pool2dLaunch planes = *this;
    planes.params.channels *= batch_;
    planes.batch_ = 1;
    return planes.rows(op, group_);
  }
  // The same one channel at a time.
  Plan single_windows(const std::string& op) const {
    return params.channels_last ? channels(op, 1) : rows(op, 1);
  }
  // A kernel whose threads have one result each.
  Plan single(const std::string& kernel) const { return plan(kernel, 1, 1); }

  Pool2dParams params;

 private:
  void look_at(const ConstTensor& tensor, const ElementType& type) {
    const Strides4& stride = tensor.stride;
    vectors_ = vectors_ && aligned(tensor.data, type) && stride.c == 1 && stride.n % group_ == 0 &&
               stride.h % group_ == 0 && stride.w % group_ == 0;
    one_image_ = one_image_ && stride.n == params.channels * stride.c;
  }

  Plan rows(const std::string& op, int64_t group) const {
    return plan("pool2d_rows<" + op + ">", group, rows_a_thread(group));
  }
  Plan channels(const std::string& op, int64_t group) const {
    return plan("pool2d_channels<" + op + ", " + std::to_string(group) + ">", group,
                rows_a_thread(group));
  }

  int64_t threads(int64_t channels_a_thread, int64_t rows_a_thread) const {
    return batch_ * ceil_div(params.channels, channels_a_thread) *
           ceil_div(params.rows, rows_a_thread) * params.columns.divisor;
  }

  // As many as leave enough threads to fill a large GPU. The results have the same bits for any.
  int64_t rows_a_thread(int64_t channels_a_thread) const {
    int64_t rows = kPool2dRows;
    while (rows > 1 && threads(channels_a_thread, rows) < kManyThreads) rows /= 2;
    return rows;
  }

  // A kernel whose threads take groups of so many channels, and so many rows.
  Plan plan(const std::string& kernel, int64_t channels_a_thread, int64_t rows_a_thread) const {
    Pool2dParams all = params;
    all.threads = threads(channels_a_thread, rows_a_thread);
    all.channel_groups = divider(ceil_div(params.channels, channels_a_thread));
    all.row_groups = divider(ceil_div(params.rows, rows_a_thread));
    all.rows_a_thread = rows_a_thread;
    const int64_t blocks = ceil_div<int64_t>(all.threads, kPool2dThreads);
    return {{make_launch(kernel, blocks, kPool2dThreads, all)}};
  }

  // Whether a group of channels that starts here can be accessed as a vector, or as two.
  bool aligned(const void* data, const ElementType& type) const {
    const int64_t alignment = std::min<int64_t>(group_ * type.bytes, kPool2dGroupBytes);
    return reinterpret_cast<uintptr_t>(data) % alignment == 0;
  }

  Pair tap_step_;  // samples from tap to tap
  int64_t group_;
  bool vectors_;           // groups of channels are vectors in memory
  bool one_image_ = true;  // the channels of all images lie as if they were those of one
  int64_t batch_;
};

}  // namespace

Plan plan_max_pool2d(const Pool2dProblem& problem, const MaxPool2dTensors& tensors) {
  const ElementType sample = element_type(problem.dtype);
  Pool2dLaunch launch(problem, Direction::kForward);
  launch.read(launch.params.first, tensors.values, sample);
  launch.write(launch.params.result, tensors.result, sample);
  return launch.windows("MaxForward<" + sample.name + ">");
}

Plan plan_max_pool2d_with_offsets(const Pool2dProblem& problem, const MaxPool2dTensors& tensors) {
  const ElementType sample = element_type(problem.dtype), offset = offset_type(problem);
  Pool2dLaunch launch(problem, Direction::kForward);
  launch.read(launch.params.first, tensors.values, sample);
  launch.write(launch.params.result, tensors.result, sample);
  launch.write(launch.params.extra, tensors.offsets, offset);
  return launch.windows("MaxForwardWithOffsets<" + sample.name + ", " + offset.name + ">");
}

Plan plan_max_pool2d_backward(const Pool2dProblem& problem, const MaxPool2dTensors& tensors) {
  const ElementType sample = element_type(problem.dtype), offset = offset_type(problem);
  Pool2dLaunch launch(problem, Direction::kBackward);
  launch.read(launch.params.first, tensors.values, sample);
  launch.read(launch.params.second, as_const(tensors.offsets), offset);
  launch.write(launch.params.result, tensors.result, sample);
  return launch.windows("MaxBackward<" + sample.name + ", " + offset.name + ">");
}

Plan plan_max_pool2d_select(const Pool2dProblem& problem, const MaxPool2dTensors& tensors) {
  const ElementType sample = element_type(problem.dtype), offset = offset_type(problem);
  Pool2dLaunch launch(problem, Direction::kForward);
  launch.read(launch.params.first, tensors.values, sample);
  launch.read(launch.params.own, as_const(tensors.offsets), offset);
  launch.write(launch.params.result, tensors.result, sample);
  return launch.single("max_pool2d_select<" + sample.name + ", " + offset.name + ">");
}

Plan plan_max_pool2d_indices(const Pool2dProblem& problem, const MaxPool2dTensors& tensors) {
  const ElementType offset = offset_type(problem);
  Pool2dLaunch launch(problem, Direction::kForward);
  launch.read(launch.params.own, as_const(tensors.offsets), offset);
  launch.write(launch.params.result, tensors.result, {"long", 8});
  return launch.single("max_pool2d_indices<" + offset.name + ">");
}

namespace {

Plan plan_avg(const std::string& op, Direction direction, const Pool2dProblem& problem,
              const AvgPool2dTensors& tensors) {
  const ElementType sample = element_type(problem.dtype);
  Pool2dLaunch launch(problem, direction);
  launch.read(launch.params.first, tensors.values, sample);
  launch.write(launch.params.result, tensors.result, sample);
  launch.params.count_include_pad = tensors.count_include_pad;
  launch.params.divisor_override = tensors.divisor_override;
  return launch.windows(op + "<" + sample.name + ">");
}

// `op` with the power of the norm.
Plan plan_lp(const std::string& op, double norm_type, Pool2dLaunch& launch) {
  launch.params.exponents = {.power = norm_type, .less_one = norm_type - 1, .root = 1 / norm_type};
  if (norm_type == 1) return launch.windows(op + ", FirstPower>");
  if (norm_type == 2) return launch.windows(op + ", SecondPower>");
  return launch.single_windows(op + ", AnyPower>");
}

}  // namespace

Plan plan_avg_pool2d(const Pool2dProblem& problem, const AvgPool2dTensors& tensors) {
  return plan_avg("AvgForward", Direction::kForward, problem, tensors);
}

Plan plan_avg_pool2d_backward(const Pool2dProblem& problem, const AvgPool2dTensors& tensors) {
  return plan_avg("AvgBackward", Direction::kBackward, problem, tensors);
}

Plan plan_lp_pool2d(const Pool2dProblem& problem, const LPPool2dTensors& tensors) {
  const ElementType sample = element_type(problem.dtype);
  Pool2dLaunch launch(problem, Direction::kForward);
  launch.read(launch.params.first, tensors.input, sample);
  launch.write(launch.params.result, tensors.result, sample);
  return plan_lp("LPForward<" + sample.name, tensors.norm_type, launch);
}

Plan plan_lp_pool2d_backward(const Pool2dProblem& problem, const LPPool2dTensors& tensors) {
  const ElementType sample = element_type(problem.dtype);
  Pool2dLaunch launch(problem, Direction::kBackward);
  launch.read(launch.params.first, tensors.grad_output, sample);
  launch.read(launch.params.second, tensors.output, sample);
  launch.read(launch.params.own, tensors.input, sample);
  launch.write(launch.params.result, tensors.result, sample);
  return plan_lp("LPBackward<" + sample.name, tensors.norm_type, launch);
}

}  // namespace cnnops::cuda
