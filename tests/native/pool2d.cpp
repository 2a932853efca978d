// Every pooling kernel of the instruction set in use, against the oracle.
#include "../../csrc/cpu/pool2d.h"

#include <string>

#include "oracle.h"
#include "report.h"
#include "suites.h"
#include "threads.h"

namespace native {
namespace {

using cnnops::Pool2dKernel;
using cnnops::Pool2dKernels;
using cnnops::Pool2dProblem;

struct Case {
  const char* name;
  int64_t batch, channels;
  Pair input, kernel, stride, padding, dilation;
  bool ceil_mode;
};

constexpr Case kCases[] = {
    {"one", 1, 1, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {1, 1}, false},
    {"halving", 2, 5, {8, 8}, {2, 2}, {2, 2}, {0, 0}, {1, 1}, false},
    {"halving_block", 1, 32, {8, 8}, {2, 2}, {2, 2}, {0, 0}, {1, 1}, false},
    {"halving_odd", 2, 3, {7, 9}, {2, 2}, {2, 2}, {0, 0}, {1, 1}, false},
    {"halving_ceil", 2, 3, {7, 9}, {2, 2}, {2, 2}, {0, 0}, {1, 1}, true},
    {"halving_wide", 2, 3, {6, 45}, {2, 2}, {2, 2}, {0, 0}, {1, 1}, false},
    {"halving_wide_ceil", 2, 3, {7, 37}, {3, 2}, {3, 2}, {0, 0}, {1, 1}, true},
    {"overlapping", 2, 17, {9, 9}, {3, 3}, {2, 2}, {0, 0}, {1, 1}, false},
    {"overlapping_ceil", 2, 4, {10, 8}, {3, 3}, {2, 2}, {0, 0}, {1, 1}, true},
    {"padded", 1, 8, {12, 35}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, false},
    {"halving_two_rows", 2, 3, {15, 14}, {2, 2}, {2, 2}, {0, 0}, {1, 1}, false},
    {"overlapping_two_rows", 2, 3, {13, 13}, {3, 3}, {2, 2}, {0, 0}, {1, 1}, false},
    {"padded_two_rows", 2, 3, {14, 14}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, false},
    {"overlapping_strips", 1, 2, {13, 70}, {3, 3}, {2, 2}, {0, 0}, {1, 1}, true},
    {"overlapping_whole_strips", 2, 3, {11, 33}, {3, 3}, {2, 2}, {0, 0}, {1, 1}, false},
    {"overlapping_tall", 1, 2, {230, 40}, {3, 3}, {2, 2}, {0, 0}, {1, 1}, false},
    {"overlapping_deep", 2, 37, {35, 9}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, false},
    {"overlapping_deep_ceil", 1, 121, {6, 130}, {3, 3}, {2, 2}, {0, 0}, {1, 1}, true},
    {"overlapping_maps", 5, 3, {9, 9}, {3, 3}, {2, 2}, {0, 0}, {1, 1}, false},
    {"stride_over_kernel_deep", 2, 18, {11, 13}, {2, 2}, {4, 5}, {0, 0}, {1, 1}, false},
    {"thirds_ceil", 2, 5, {10, 8}, {3, 3}, {3, 3}, {0, 0}, {1, 1}, true},
    {"same_size", 2, 16, {7, 7}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, false},
    {"same_size_blocks", 2, 3, {14, 15}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, false},
    {"dense", 1, 33, {5, 40}, {2, 2}, {1, 1}, {0, 0}, {1, 1}, false},
    {"rectangular", 2, 3, {11, 6}, {4, 2}, {3, 1}, {2, 1}, {1, 1}, false},
    {"padded_ceil", 2, 3, {6, 9}, {3, 4}, {2, 3}, {1, 2}, {1, 1}, true},
    {"stride_over_kernel", 2, 3, {11, 13}, {2, 2}, {4, 5}, {0, 0}, {1, 1}, false},
    {"global", 3, 19, {4, 6}, {4, 6}, {4, 6}, {0, 0}, {1, 1}, false},
    {"large_window", 1, 2, {24, 24}, {17, 16}, {5, 7}, {8, 8}, {1, 1}, false},
    {"kernel_over_map", 2, 3, {2, 3}, {4, 5}, {1, 1}, {2, 2}, {1, 1}, false},
    {"row", 2, 3, {1, 40}, {1, 3}, {1, 2}, {0, 1}, {1, 1}, false},
    {"long_rows", 1, 2, {1, 4500}, {1, 3}, {1, 2}, {0, 1}, {1, 1}, false},
    {"dilated", 2, 3, {11, 12}, {3, 2}, {1, 2}, {1, 1}, {2, 3}, false},
    {"dilated_ceil", 2, 5, {13, 10}, {2, 3}, {3, 2}, {1, 1}, {4, 2}, true},
};

Pool2dShape shape_of(const Case& c) {
  const Pair output = {cnnops::pooled_extent(c.input.h, c.kernel.h, c.stride.h, c.padding.h,
                                             c.dilation.h, c.ceil_mode),
                       cnnops::pooled_extent(c.input.w, c.kernel.w, c.stride.w, c.padding.w,
                                             c.dilation.w, c.ceil_mode)};
  return {c.batch, c.channels, c.input, c.kernel, output, c.stride, c.padding, c.dilation};
}

// Where what a kernel reads lies; the result is dense.
struct Placement {
  Layout layout;
  bool channels_last;
  Flush flush;
};
constexpr Placement kPlacements[] = {
    {Layout::kContiguous, false, Flush::kEnd},  {Layout::kContiguous, false, Flush::kStart},
    {Layout::kChannelsLast, true, Flush::kEnd}, {Layout::kChannelsLast, true, Flush::kStart},
    {Layout::kContiguous, true, Flush::kEnd},   {Layout::kChannelsLast, false, Flush::kStart},
    {Layout::kReversed, false, Flush::kEnd},    {Layout::kGaps, true, Flush::kStart},
};
constexpr Placement kExpanded{Layout::kExpanded, false, Flush::kEnd};

// The error allowed, in units of eps * magnitude. Half of it is the oracle's, which adds the samples
// of a large window one by one.
constexpr double kFactor = 32;

// Offsets in a window, as kernels store them.
class OffsetTensor {
 public:
  OffsetTensor(const Pool2dShape& shape, Layout layout, Flush flush)
      : size_(output_size(shape)),
        wide_(shape.kernel.h * shape.kernel.w > cnnops::kSmallWindow),
        stride_(strides(size_, layout)),
        memory_(bytes() * (offset({size_.n - 1, size_.c - 1, size_.h - 1, size_.w - 1}) + 1),
                bytes(), flush) {}

  double get(int64_t n, int64_t c, int64_t h, int64_t w) const {
    int32_t value = 0;
    std::memcpy(&value, memory_.data() + bytes() * offset({n, c, h, w}), bytes());
    return value;
  }
  void fill(const Values& values) {
    for_each(size_, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
      const int32_t value = int32_t(values.get(n, c, h, w));
      std::memcpy(memory_.data() + bytes() * offset({n, c, h, w}), &value, bytes());
    });
    memory_.make_read_only();
  }
  cnnops::MutableTensor view() const { return {memory_.data(), stride_}; }
  const Size4& size() const { return size_; }

 private:
  int64_t bytes() const { return wide_ ? 4 : 1; }
  int64_t offset(const Size4& at) const {
    return at.n * stride_.n + at.c * stride_.c + at.h * stride_.h + at.w * stride_.w;
  }

  Size4 size_;
  bool wide_;
  cnnops::Strides4 stride_;
  Memory memory_;
};

Values absolute(Values values) {
  for (double& value : values.of) value = std::fabs(value);
  return values;
}

// The kernels on one case, dtype, placement and number of threads.
class Checks {
 public:
  Checks(const char* name, const Pool2dShape& shape, DType dtype, const Placement& placement,
         int64_t threads, Counts& counts)
      : name_(name),
        problem_{shape, dtype, placement.channels_last},
        placement_(placement),
        dense_(placement.channels_last ? Layout::kChannelsLast : Layout::kContiguous),
        threads_(threads),
        counts_(counts) {}

  void max(const Values& input, const Values& grad) {
    const Pool2dKernels& kernels = cnnops::pool2d_kernels();
    const Pool2dShape& shape = problem_.shape;
    const Values offsets = max_offsets(shape, input);
    const Values maxima = max_select(shape, input, offsets);
    const Tensor x = read(input), g = read(grad);
    OffsetTensor written(shape, dense_, placement_.flush);
    OffsetTensor given(shape, placement_.layout == Layout::kExpanded ? dense_ : placement_.layout,
                       placement_.flush);
    given.fill(offsets);
    expect_exact(kernels.max_forward, "max_forward", {x.const_view(), {}, {}}, maxima);
    expect_exact(kernels.max_forward_with_offsets, "max_forward_with_offsets",
                 {x.const_view(), written.view(), {}}, maxima);
    for_each(written.size(), [&](int64_t n, int64_t c, int64_t h, int64_t w) {
      if (written.get(n, c, h, w) != offsets.get(n, c, h, w)) fail("wrong offset");
    });
    expect_exact(kernels.max_select, "max_select", {x.const_view(), given.view(), {}}, maxima);
    expect(kernels.max_backward, "max_backward", {g.const_view(), given.view(), {}},
           max_backward(shape, grad, offsets), max_backward(shape, absolute(grad), offsets));
  }

  void avg(const Values& input, const Values& grad, bool padded, int64_t divisor) {
    const Pool2dKernels& kernels = cnnops::pool2d_kernels();
    const Pool2dShape& shape = problem_.shape;
    const Tensor x = read(input), g = read(grad);
    expect(kernels.avg_forward, "avg_forward", {x.const_view(), {}, padded, divisor},
           avg_forward(shape, input, padded, divisor),
           avg_forward(shape, absolute(input), padded, divisor));
    expect(kernels.avg_backward, "avg_backward", {g.const_view(), {}, padded, divisor},
           avg_backward(shape, grad, padded, divisor),
           avg_backward(shape, absolute(grad), padded, divisor));
  }

  // The output of a backward pass need not be that of the forward one.
  void lp(const Values& input, const Values& output, const Values& grad, double norm) {
    const Pool2dKernels& kernels = cnnops::pool2d_kernels();
    const Pool2dShape& shape = problem_.shape;
    const Tensor x = read(input), y = read(output), g = read(grad);
    const Values exact = lp_forward(shape, input, norm);
    expect(kernels.lp_forward, "lp_forward", {x.const_view(), {}, {}, {}, norm}, exact, exact);
    expect(kernels.lp_backward, "lp_backward",
           {x.const_view(), y.const_view(), g.const_view(), {}, norm},
           lp_backward(shape, input, output, grad, norm),
           lp_backward(shape, input, output, absolute(grad), norm));
  }

 private:
  Tensor read(const Values& values) const {
    return {problem_.dtype, values, placement_.layout, placement_.flush};
  }

  template <class Tensors>
  void expect(Pool2dKernel<Tensors> kernel, const char* kernel_name, Tensors tensors,
              const Values& exact, const Values& magnitude) {
    check(kernel, kernel_name, tensors, exact, magnitude, kFactor);
  }
  template <class Tensors>
  void expect_exact(Pool2dKernel<Tensors> kernel, const char* kernel_name, Tensors tensors,
                    const Values& exact) {
    check(kernel, kernel_name, tensors, exact, Values(exact.size), 0);
  }
  template <class Tensors>
  void check(Pool2dKernel<Tensors> kernel, const char* kernel_name, Tensors tensors,
             const Values& exact, const Values& magnitude, double factor) {
    under_check = std::string(kernel_name) + " of " + name_ + " in " + name_of(problem_.dtype) +
                  ", layout " + name_of(placement_.layout) + ", " + std::to_string(threads_) +
                  " threads";
    const Tensor result(problem_.dtype, exact.size, dense_, placement_.flush);
    tensors.result = result.view();
    const Memory workspace(cnnops::pool2d_kernels().workspace(problem_, threads_),
                           cnnops::kWorkspaceAlignment, placement_.flush);
    kernel(problem_, tensors, execution(threads_, workspace.data()));
    expect_close(result, exact, magnitude, factor);
    ++counts_[kernel_name];
  }

  const char* name_;
  Pool2dProblem problem_;
  Placement placement_;
  Layout dense_;
  int64_t threads_;
  Counts& counts_;
};

void check_case(const Case& given, const Values& input, const Values& grad,
                const Placement& placement, Counts& counts) {
  const Pool2dShape shape = shape_of(given);
  const bool dilated = shape.dilation.h > 1 || shape.dilation.w > 1;
  int64_t threads = 0;
  for (const DType dtype : kDTypes) {
    threads = threads % kMostThreads + 1;
    Checks checks(given.name, shape, dtype, placement, threads, counts);
    checks.max(input, grad);
    if (dilated) continue;  // max pooling alone has it
    checks.avg(input, grad, true, 0);
    checks.avg(input, grad, false, 0);
    checks.avg(input, grad, true, 3);
    Values positive = absolute(input), output = absolute(grad);
    for (double& value : positive.of) value += 1;
    for (double& value : output.of) value += 1;
    for (const double norm : {1.0, 2.0, 3.0, 1.5}) checks.lp(positive, output, grad, norm);
  }
}

}  // namespace

Counts check_pool2d() {
  Counts counts;
  for (const Case& given : kCases) {
    const Pool2dShape shape = shape_of(given);
    const Values input = random_values(input_size(shape), 5);
    const Values grad = random_values(output_size(shape), 6);
    for (const Placement& placement : kPlacements)
      check_case(given, input, grad, placement, counts);
    check_case(given, one_column(input), one_column(grad), kExpanded, counts);
  }
  return counts;
}

}  // namespace native
