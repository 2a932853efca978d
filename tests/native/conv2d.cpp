// Every convolution kernel of the instruction set in use, against the oracle.
#include "../../csrc/cpu/conv2d.h"

#include <string>

#include "faults.h"
#include "oracle.h"
#include "report.h"
#include "suites.h"
#include "threads.h"

namespace native {
namespace {

using cnnops::BiasGradProblem;
using cnnops::Conv2dAlgorithm;
using cnnops::Conv2dProblem;
using cnnops::Conv2dTensors;

struct Case {
  const char* name;
  int64_t batch, in_channels, out_channels, groups;
  Pair input, kernel, stride, dilation;
  cnnops::BasicEdges<int64_t> padding;
};

constexpr cnnops::BasicEdges<int64_t> around(int64_t padding) {
  return {padding, padding, padding, padding};
}

// Channels and maps below, at and above the widths of vectors and tiles.
constexpr Case kCases[] = {
    {"one", 1, 1, 1, 1, {1, 1}, {1, 1}, {1, 1}, {1, 1}, around(0)},
    {"stem_5x5", 2, 1, 6, 1, {12, 12}, {5, 5}, {1, 1}, {1, 1}, around(0)},
    {"stem_3x3", 2, 3, 16, 1, {9, 10}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"stem_7x7", 1, 3, 9, 1, {15, 14}, {7, 7}, {2, 2}, {1, 1}, around(3)},
    {"stem_11x11", 1, 3, 8, 1, {19, 19}, {11, 11}, {4, 4}, {1, 1}, around(2)},
    {"stem_stride_2", 1, 3, 20, 1, {9, 50}, {5, 5}, {2, 2}, {1, 1}, around(2)},
    {"stem_stride_4", 1, 3, 24, 1, {19, 90}, {11, 11}, {4, 4}, {1, 1}, around(2)},
    {"stem_runs", 6, 3, 17, 1, {18, 20}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"stem_long_rows", 1, 3, 16, 1, {3, 140}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"stem_dilated", 1, 2, 16, 1, {12, 21}, {3, 2}, {1, 3}, {3, 1}, {2, 0, -1, 3}},
    {"rows_blocks", 2, 3, 20, 1, {26, 32}, {11, 11}, {3, 3}, {1, 1}, around(5)},
    {"rows_gray", 2, 1, 16, 1, {9, 20}, {5, 5}, {1, 1}, {1, 1}, around(2)},
    {"rows_of_vectors", 1, 4, 18, 1, {20, 41}, {9, 9}, {2, 2}, {1, 1}, around(4)},
    {"rows_groups", 2, 6, 40, 2, {5, 22}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"rows_images", 5, 4, 17, 1, {4, 12}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"rows_outside", 1, 3, 9, 1, {5, 12}, {3, 3}, {1, 1}, {1, 1}, around(6)},
    {"rows_apart", 1, 5, 16, 1, {10, 21}, {3, 4}, {1, 2}, {3, 1}, {2, 0, -1, 3}},
    {"rows_gradient", 1, 9, 12, 1, {10, 26}, {4, 4}, {2, 2}, {1, 1}, around(1)},
    {"block", 2, 8, 8, 1, {8, 8}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"block_rest_1", 2, 9, 11, 1, {9, 5}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"block_rest_2", 1, 16, 24, 1, {10, 6}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"block_rest_3", 1, 17, 33, 1, {7, 11}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"block_many", 1, 40, 21, 1, {13, 18}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"block_full", 1, 8, 12, 1, {6, 7}, {3, 3}, {1, 1}, {1, 1}, around(2)},
    {"block_over_padding", 1, 8, 9, 1, {3, 4}, {3, 3}, {1, 1}, {1, 1}, around(7)},
    {"block_lopsided", 2, 10, 15, 1, {9, 8}, {3, 3}, {1, 1}, {1, 1}, {0, 3, 4, 1}},
    {"block_cropped", 2, 11, 8, 1, {11, 12}, {3, 3}, {1, 1}, {1, 1}, {-1, -2, -3, 0}},
    {"block_1_tile", 3, 12, 10, 1, {3, 3}, {3, 3}, {1, 1}, {1, 1}, around(0)},
    {"block_many_tiles", 130, 9, 17, 1, {3, 3}, {3, 3}, {1, 1}, {1, 1}, around(0)},
    {"block_chunks", 66, 40, 48, 1, {3, 3}, {3, 3}, {1, 1}, {1, 1}, around(0)},
    {"block_channels", 2, 90, 81, 1, {3, 3}, {3, 3}, {1, 1}, {1, 1}, around(0)},
    {"block_5x5", 2, 9, 13, 1, {9, 11}, {5, 5}, {1, 1}, {1, 1}, around(2)},
    {"block_5x5_lopsided", 1, 24, 8, 1, {7, 6}, {5, 5}, {1, 1}, {1, 1}, {5, 0, -1, 3}},
    {"stride_even", 2, 16, 24, 1, {12, 8}, {3, 3}, {2, 2}, {1, 1}, around(1)},
    {"stride_odd", 2, 9, 11, 1, {15, 9}, {3, 3}, {2, 2}, {1, 1}, around(1)},
    {"stride_unpadded", 1, 13, 18, 1, {11, 14}, {3, 3}, {2, 2}, {1, 1}, around(0)},
    {"stride_cropped", 2, 8, 8, 1, {14, 13}, {3, 3}, {2, 2}, {1, 1}, {-1, 2, 0, -2}},
    {"stride_over_kernel", 2, 3, 4, 1, {13, 14}, {2, 3}, {5, 4}, {1, 1}, around(1)},
    {"stride_over_map", 2, 3, 4, 1, {4, 4}, {3, 3}, {9, 9}, {1, 1}, around(1)},
    {"pointwise", 2, 33, 17, 1, {7, 9}, {1, 1}, {1, 1}, {1, 1}, around(0)},
    {"pointwise_stride", 2, 16, 24, 1, {9, 8}, {1, 1}, {2, 3}, {1, 1}, around(0)},
    {"pointwise_padding", 2, 5, 7, 1, {4, 4}, {1, 1}, {1, 1}, {1, 1}, around(2)},
    {"many_outputs", 1, 8, 530, 1, {2, 3}, {1, 1}, {1, 1}, {1, 1}, around(0)},
    {"many_inputs", 1, 300, 9, 1, {3, 4}, {1, 1}, {1, 1}, {1, 1}, around(0)},
    {"pointwise_runs", 5, 20, 12, 1, {22, 21}, {1, 1}, {1, 1}, {1, 1}, around(0)},
    {"window_runs", 6, 5, 7, 1, {20, 21}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"whole_map", 3, 8, 10, 1, {4, 6}, {4, 6}, {1, 1}, {1, 1}, around(0)},
    {"depthwise", 2, 19, 19, 19, {9, 11}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"depthwise_block", 1, 32, 32, 32, {8, 8}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"depthwise_stride", 2, 16, 16, 16, {11, 11}, {5, 5}, {2, 2}, {1, 1}, around(2)},
    {"depthwise_dilation", 1, 8, 8, 8, {14, 13}, {3, 3}, {1, 2}, {3, 2}, around(2)},
    {"depthwise_multiplier", 2, 6, 18, 6, {8, 8}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"grouped", 2, 12, 20, 4, {8, 8}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"grouped_odd", 2, 15, 21, 3, {7, 7}, {3, 2}, {2, 1}, {1, 2}, {1, 0, 1, 1}},
    {"dilated", 2, 4, 5, 1, {13, 15}, {3, 3}, {1, 1}, {2, 3}, around(2)},
    {"row", 2, 3, 4, 1, {1, 50}, {1, 7}, {1, 1}, {1, 1}, {0, 0, 3, 3}},
    {"column", 2, 3, 4, 1, {50, 1}, {7, 1}, {2, 1}, {1, 1}, around(0)},
    {"kernel_over_map", 2, 3, 4, 1, {2, 3}, {5, 5}, {1, 1}, {1, 1}, around(2)},
    {"many_images", 40, 3, 5, 1, {4, 4}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"many_depthwise_images", 40, 5, 5, 5, {4, 4}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"many_depthwise_vectors", 40, 17, 17, 17, {5, 6}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"depthwise_tall", 2, 51, 51, 51, {37, 9}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"depthwise_tall_stride", 2, 51, 51, 51, {37, 12}, {3, 3}, {2, 2}, {1, 1}, around(1)},
    {"depthwise_pairs", 3, 48, 48, 48, {9, 7}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"depthwise_pairs_many", 2, 32, 32, 32, {21, 22}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"depthwise_pairs_edge", 2, 32, 32, 32, {9, 23}, {3, 3}, {1, 1}, {1, 1}, around(2)},
    {"depthwise_pairs_stride", 2, 32, 32, 32, {18, 21}, {3, 3}, {2, 2}, {1, 1}, around(1)},
    {"depthwise_pairs_even", 2, 32, 32, 32, {17, 20}, {3, 3}, {2, 2}, {1, 1}, around(0)},
    {"depthwise_pairs_apart", 1, 16, 16, 16, {15, 16}, {3, 3}, {2, 2}, {2, 2}, around(2)},
    {"depthwise_pairs_cropped", 1, 16, 16, 16, {12, 13}, {3, 3}, {2, 2}, {1, 1}, {-1, 2, 1, -2}},
    {"depthwise_pairs_far", 1, 16, 16, 16, {14, 13}, {3, 3}, {2, 2}, {1, 1}, {-3, 1, -3, 2}},
    {"depthwise_halved", 2, 5, 5, 5, {27, 25}, {3, 3}, {2, 2}, {1, 1}, around(1)},
    {"depthwise_halved_crop", 2, 3, 3, 3, {9, 29}, {3, 3}, {2, 2}, {1, 1}, {1, 0, 1, -3}},
    {"depthwise_small_maps", 3, 83, 83, 83, {7, 6}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"depthwise_small_maps_stride", 2, 40, 40, 40, {14, 15}, {3, 3}, {2, 2}, {1, 1}, around(1)},
    {"depthwise_small_maps_apart", 2, 24, 24, 24, {8, 7}, {2, 2}, {3, 3}, {1, 1}, around(0)},
    {"small_map", 5, 79, 95, 1, {5, 5}, {1, 1}, {1, 1}, {1, 1}, around(0)},
    {"small_map_3x3", 3, 31, 31, 1, {3, 3}, {3, 3}, {1, 1}, {1, 1}, around(1)},
    {"long_depthwise_rows", 1, 2, 2, 2, {2, 4500}, {1, 3}, {1, 2}, {1, 1}, {0, 0, 1, 1}},
};

// In the order of the enumerators.
constexpr const char* kPassNames[] = {"forward", "input_grad", "weight_grad"};
constexpr Conv2dPass kPasses[] = {Conv2dPass::kForward, Conv2dPass::kInputGrad,
                                  Conv2dPass::kWeightGrad};

Conv2dShape shape_of(const Case& c) {
  const auto output = [](int64_t input, int64_t before, int64_t after, int64_t kernel,
                         int64_t stride, int64_t dilation) {
    return cnnops::windows_that_fit(input + before + after, kernel, stride, dilation);
  };
  const Pair size = {
      output(c.input.h, c.padding.top, c.padding.bottom, c.kernel.h, c.stride.h, c.dilation.h),
      output(c.input.w, c.padding.left, c.padding.right, c.kernel.w, c.stride.w, c.dilation.w)};
  return {c.batch,  c.in_channels, c.out_channels, c.groups,   c.input,
          c.kernel, size,          c.stride,       c.dilation, c.padding};
}

bool is_winograd(const Conv2dAlgorithm& algorithm) {
  return std::string(algorithm.name).starts_with("winograd");
}

// The error allowed, in units of eps * magnitude, where tests/checks.py has at most as much.
constexpr double kFactor = 64;

double factor_of(const Conv2dAlgorithm& algorithm) {
  return algorithm.name == std::string("winograd_4x4_5x5") ? 2 * kFactor : kFactor;
}

// A case's pass with its exact results.
struct Pass {
  Conv2dShape shape;
  Conv2dPass pass;
  Conv2dValues values;
  Values exact, magnitude, tile_magnitude;

  Pass(const Conv2dShape& shape, Conv2dPass pass, const Conv2dValues& given)
      : shape(shape), pass(pass), values(given) {
    if (pass == Conv2dPass::kInputGrad) values.bias.resize(shape.in_channels);
    exact = convolve(shape, pass, values);
    magnitude = convolve(shape, pass, absolute(values));
    tile_magnitude = native::tile_magnitude(shape, pass, values);
  }
};

Conv2dValues random_operands(const Conv2dShape& shape) {
  Conv2dValues values{random_values(input_size(shape), 1),
                      random_values(weight_size(shape), 2),
                      random_values(output_size(shape), 3),
                      {}};
  values.bias = random_values({1, std::max(shape.in_channels, shape.out_channels), 1, 1}, 4).of;
  return values;
}

// Where the operands of a pass lie. The result is dense: channels_last or contiguous.
struct Placement {
  Layout activations, weight;
  bool channels_last;
  Flush flush;
};
constexpr Placement kPlacements[] = {
    {Layout::kContiguous, Layout::kContiguous, false, Flush::kEnd},
    {Layout::kContiguous, Layout::kContiguous, false, Flush::kStart},
    {Layout::kChannelsLast, Layout::kChannelsLast, true, Flush::kEnd},
    {Layout::kChannelsLast, Layout::kContiguous, true, Flush::kStart},
    {Layout::kContiguous, Layout::kReversed, true, Flush::kEnd},
    {Layout::kChannelsLast, Layout::kGaps, false, Flush::kStart},
    {Layout::kReversed, Layout::kContiguous, false, Flush::kEnd},
    {Layout::kGaps, Layout::kChannelsLast, true, Flush::kStart},
};

// The tensors of one call.
class Call {
 public:
  Call(const Pass& pass, DType dtype, const Placement& placement)
      : problem_{pass.shape, pass.pass, dtype, placement.channels_last},
        placement_(placement),
        input_(operand(pass, pass.values.input, placement.activations, Conv2dPass::kInputGrad)),
        weight_(operand(pass, pass.values.weight, placement.weight, Conv2dPass::kWeightGrad)),
        output_(operand(pass, pass.values.output, placement.activations, Conv2dPass::kForward)),
        bias_(dtype, bias_values(pass), Layout::kContiguous, placement.flush) {}

  const Conv2dProblem& problem() const { return problem_; }
  const Tensor& result() const {
    switch (problem_.pass) {
      case Conv2dPass::kForward:
        return output_;
      case Conv2dPass::kInputGrad:
        return input_;
      case Conv2dPass::kWeightGrad:
        return weight_;
    }
    __builtin_unreachable();
  }

  void run(const Conv2dAlgorithm& algorithm, int64_t threads) {
    const Memory workspace(algorithm.workspace(problem_, threads), cnnops::kWorkspaceAlignment,
                           placement_.flush);
    algorithm.run(problem_,
                  {input_.view(), weight_.view(), output_.view(),
                   problem_.pass == Conv2dPass::kWeightGrad ? nullptr : bias_.memory().data()},
                  execution(threads, workspace.data()));
  }

 private:
  // What a pass reads; what it writes is left NaN.
  Tensor operand(const Pass& pass, const Values& values, Layout layout, Conv2dPass writer) const {
    if (pass.pass != writer) return {problem_.dtype, values, layout, placement_.flush};
    const bool last = problem_.channels_last && writer != Conv2dPass::kWeightGrad;
    return {problem_.dtype, values.size, last ? Layout::kChannelsLast : Layout::kContiguous,
            placement_.flush};
  }
  static Values bias_values(const Pass& pass) {
    Values values(
        {1, pass.pass == Conv2dPass::kForward ? pass.shape.out_channels : pass.shape.in_channels, 1,
         1});
    std::copy_n(pass.values.bias.begin(), values.of.size(), values.of.begin());
    return values;
  }

  Conv2dProblem problem_;
  Placement placement_;
  Tensor input_, weight_, output_, bias_;
};

void check_algorithm(const Pass& pass, DType dtype, const Placement& placement,
                     const Conv2dAlgorithm& algorithm) {
  Call first(pass, dtype, placement);
  first.run(algorithm, 1);
  expect_close(first.result(), pass.exact,
               is_winograd(algorithm) ? pass.tile_magnitude : pass.magnitude, factor_of(algorithm));
  for (int64_t threads = 2; threads <= kMostThreads; ++threads) {
    Call other(pass, dtype, placement);
    other.run(algorithm, threads);
    expect_same_bits(other.result().memory(), first.result().memory());
  }
}

void check_pass(const char* name, const Pass& pass, const Placement& placement, Counts& counts) {
  for (const DType dtype : kDTypes) {
    const Conv2dProblem problem{pass.shape, pass.pass, dtype, placement.channels_last};
    for (const Conv2dAlgorithm& algorithm : algorithms_to_check()) {
      if (!algorithm.supports(problem)) continue;
      under_check = std::string(algorithm.name) + " " + kPassNames[int(pass.pass)] + " of " + name +
                    " in " + name_of(dtype) + ", activations " + name_of(placement.activations);
      check_algorithm(pass, dtype, placement, algorithm);
      ++counts[std::string(algorithm.name) + " " + kPassNames[int(pass.pass)]];
    }
  }
}

void check_bias_grad(const char* name, const Conv2dShape& shape, const Conv2dValues& values,
                     const Placement& placement) {
  Values exact({1, shape.out_channels, 1, 1}), magnitude(exact.size);
  for_each(output_size(shape), [&](int64_t n, int64_t k, int64_t p, int64_t q) {
    exact.of[k] += values.output.get(n, k, p, q);
    magnitude.of[k] += std::fabs(values.output.get(n, k, p, q));
  });
  for (const DType dtype : kDTypes) {
    under_check = std::string("bias gradient of ") + name + " in " + name_of(dtype);
    const Tensor grad_output(dtype, values.output, placement.activations, placement.flush);
    for (int64_t threads = 1; threads <= kMostThreads; ++threads) {
      const Tensor grad_bias(dtype, exact.size, Layout::kContiguous, placement.flush);
      const BiasGradProblem problem{
          shape.batch, shape.out_channels,       shape.output,
          dtype,       grad_output.const_view(), grad_bias.memory().data()};
      const Memory workspace(cnnops::conv2d_kernels().bias_grad_workspace(problem),
                             cnnops::kWorkspaceAlignment, placement.flush);
      cnnops::conv2d_kernels().bias_grad(problem, execution(threads, workspace.data()));
      expect_close(grad_bias, exact, magnitude, kFactor);
    }
  }
}

void check_case(const Case& given, const Conv2dValues& values, const Placement& placement,
                Counts& counts) {
  const Conv2dShape shape = shape_of(given);
  for (const Conv2dPass pass : kPasses)
    check_pass(given.name, Pass(shape, pass, values), placement, counts);
  check_bias_grad(given.name, shape, values, placement);
}

constexpr Placement kExpanded{Layout::kExpanded, Layout::kContiguous, false, Flush::kEnd};

}  // namespace

Counts check_conv2d() {
  Counts counts;
  for (const Case& given : kCases) {
    const Conv2dValues values = random_operands(shape_of(given));
    for (const Placement& placement : kPlacements) check_case(given, values, placement, counts);
    check_case(given,
               {one_column(values.input), values.weight, one_column(values.output), values.bias},
               kExpanded, counts);
  }
  return counts;
}

}  // namespace native
