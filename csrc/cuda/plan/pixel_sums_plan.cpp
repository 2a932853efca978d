#include <algorithm>

#include "../../arena.h"
#include "../conv2d_parameters.h"
#include "../tile.h"
#include "direct_plan.h"
#include "element_type.h"
#include "memory_order.h"
#include "sum_plan.h"

namespace cnnops::cuda {
namespace {

// Pixels that one thread adds up before a second pass is worth it, and the most parts.
constexpr int64_t kPixelsOfThread = 32, kMostSplits = 64;

// Lanes go along items where neighbouring items are neighbours in memory.
constexpr int32_t kItemLanes = 32;

int64_t sum_bytes(DType dtype) { return dtype == DType::kFloat64 ? 8 : 4; }

// Fills in how a sum over `pixels` is split, and adds the launches of both passes.
Plan plan_sums(PixelSumParameters parameters, SumParameters sums, const char* term, DType dtype,
               char* workspace) {
  const int64_t lanes = kThreads / parameters.items_per_block;
  parameters.pixels_per_split =
      std::max<int64_t>(lanes * kPixelsOfThread, ceil_div(parameters.pixels, kMostSplits));
  sums.splits = std::max<int64_t>(1, ceil_div(parameters.pixels, parameters.pixels_per_split));
  const int64_t item_blocks = ceil_div<int64_t>(parameters.items, parameters.items_per_block);
  parameters.item_blocks = divider(item_blocks);

  Arena arena(workspace);
  parameters.partial = arena.take<char>(sums.splits * parameters.items * sum_bytes(dtype));
  sums.partial = parameters.partial;
  sums.items = parameters.items;

  const std::string storage = storage_name(dtype);
  Plan plan;
  plan.launches = {make_launch("pixel_sums<" + storage + ", " + term + ">",
                               sums.splits * item_blocks, kThreads, parameters),
                   sum_launch(storage, sums)};
  plan.workspace_bytes = arena.size();
  return plan;
}

}  // namespace

Plan plan_weight_grad_direct(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                             char* workspace) {
  const Conv2dShape& shape = problem.shape;
  const int64_t reduce = shape.in_channels / shape.groups;
  const int64_t taps = shape.kernel.h * shape.kernel.w;
  const bool inner = has_inner_channels(tensors.output.stride);
  PixelSumParameters parameters{};
  parameters.grad_output = tensors.output.data;
  parameters.input = tensors.input.data;
  parameters.grad_stride = tensors.output.stride;
  parameters.input_stride = tensors.input.stride;
  parameters.items = shape.out_channels * reduce * taps;
  parameters.pixels = shape.batch * shape.output.h * shape.output.w;
  parameters.items_per_block = inner ? kItemLanes : 1;
  parameters.input_map = shape.input;
  parameters.stride = shape.stride;
  parameters.dilation = shape.dilation;
  parameters.padding_top = shape.padding.top;
  parameters.padding_left = shape.padding.left;
  parameters.output_w = divider(shape.output.w);
  parameters.output_h = divider(shape.output.h);
  parameters.order = inner ? TapOrder::kChannelsInner : TapOrder::kChannelsOuter;
  parameters.kernel_w = divider(shape.kernel.w);
  parameters.kernel_h = divider(shape.kernel.h);
  parameters.reduce = divider(reduce);
  parameters.out_channels = divider(shape.out_channels);
  parameters.group_channels = divider(shape.out_channels / shape.groups);

  SumParameters sums{};
  sums.result = tensors.weight.data;
  sums.inner = divider(inner ? shape.out_channels : taps);
  sums.middle = divider(reduce);
  sums.inner_stride = inner ? reduce * taps : 1;
  sums.middle_stride = taps;
  sums.outer_stride = inner ? 1 : reduce * taps;
  return plan_sums(parameters, sums, "WeightGrad", problem.dtype, workspace);
}

Plan plan_bias_grad(const BiasGradProblem& problem, char* workspace) {
  PixelSumParameters parameters{};
  parameters.grad_output = problem.grad_output.data;
  parameters.grad_stride = problem.grad_output.stride;
  parameters.items = problem.channels;
  parameters.pixels = problem.batch * problem.map.h * problem.map.w;
  parameters.items_per_block = has_inner_channels(problem.grad_output.stride) ? kItemLanes : 1;
  parameters.output_w = divider(std::max<int64_t>(1, problem.map.w));
  parameters.output_h = divider(std::max<int64_t>(1, problem.map.h));

  SumParameters sums{};
  sums.result = problem.grad_bias;
  sums.inner = divider(problem.channels);
  sums.middle = divider(1);
  sums.inner_stride = 1;
  return plan_sums(parameters, sums, "BiasGrad", problem.dtype, workspace);
}

}  // namespace cnnops::cuda
