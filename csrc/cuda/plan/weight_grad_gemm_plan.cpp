#include <algorithm>

#include "../../arena.h"
#include "../conv2d_parameters.h"
#include "../tile.h"
#include "gemm_variant.h"
#include "implicit_gemm_plan.h"
#include "lattice_tables.h"
#include "memory_order.h"
#include "sum_plan.h"

namespace cnnops::cuda {
namespace {

// Parts of a reduction: enough blocks for a large GPU, parts long enough to be worth a second pass.
constexpr int64_t kBlocksWanted = 512, kLeastSteps = 8;

struct GradAccess {
  const char* name;
  TapOrder order;
};

GradAccess grad_access(const Conv2dShape& shape, const Conv2dTensors& tensors,
                       const GemmVariant& variant) {
  const int64_t chunk = variant.chunk();
  if (variant.operand_bytes == 2 &&
      has_chunks(tensors.input.data, tensors.input.stride, shape.in_channels / shape.groups,
                 chunk) &&
      has_chunks(tensors.output.data, tensors.output.stride, shape.out_channels / shape.groups,
                 chunk)) {
    return {"GradChunks", TapOrder::kChannelsInner};
  }
  if (has_inner_channels(tensors.input.stride)) return {"ChannelLanes", TapOrder::kChannelsInner};
  return {"PixelLanes", TapOrder::kChannelsOuter};
}

// GradShared of weight_grad_gemm.cuh.
int64_t shared_bytes(const GemmVariant& variant) {
  const int64_t tiles = kStages * (variant.rows + variant.columns) * kRowBytes;
  return tiles + 2 * kThreads * kGradPixelBytes + variant.columns * int64_t(sizeof(SourceTap)) +
         kGradPlaceBytes;
}

class WeightGradGemm {
 public:
  WeightGradGemm(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                 const Conv2dSettings& settings)
      : shape_(problem.shape),
        storage_(storage_name(problem.dtype)),
        bytes_(size_of(problem.dtype)),
        tensors_(tensors),
        rows_(shape_.out_channels / shape_.groups),
        reduce_(shape_.in_channels / shape_.groups),
        taps_(shape_.kernel.h * shape_.kernel.w),
        columns_(reduce_ * taps_),
        pixels_(shape_.batch * shape_.output.h * shape_.output.w),
        variant_(weight_grad_variant(problem.dtype, settings, rows_, columns_)),
        access_(grad_access(shape_, tensors, variant_)),
        row_tiles_(ceil_div(rows_, variant_.rows)),
        column_tiles_(ceil_div(columns_, variant_.columns)) {
    const int64_t steps = ceil_div(pixels_, variant_.row());
    const int64_t tiles = shape_.groups * row_tiles_ * column_tiles_;
    const int64_t most = std::max<int64_t>(1, steps / kLeastSteps);
    const int64_t splits = std::clamp<int64_t>(kBlocksWanted / tiles, 1, most);
    steps_per_split_ = std::max<int64_t>(1, ceil_div(steps, splits));
    splits_ = std::max<int64_t>(1, ceil_div(steps, steps_per_split_));
  }

  Plan plan(char* workspace) const {
    Arena arena(workspace);
    SourceTap* taps = arena.take<SourceTap>(columns_);
    char* partial =
        arena.take<char>(splits_ * shape_.groups * rows_ * columns_ * variant_.sum_bytes);
    Plan plan;
    plan.launches = {tabulate(taps), multiply(taps, partial), sum(partial)};
    plan.workspace_bytes = arena.size();
    return plan;
  }

 private:
  // Taps of the filter as a lattice of one output whose window starts at sample 0.
  LatticeTable filter_window() const {
    const auto axis = [](int64_t kernel, int64_t dilation) {
      CorrelationAxis one{};
      one.step = one.stride = one.count = 1;
      one.taps = kernel;
      one.dilation = dilation;
      return LatticeAxis{one, divider(1)};
    };
    LatticeTable table{};
    table.row_count = table.column_count = 1;
    table.rows[0] = axis(shape_.kernel.h, shape_.dilation.h);
    table.columns[0] = axis(shape_.kernel.w, shape_.dilation.w);
    return table;
  }

  Launch tabulate(SourceTap* taps) const {
    const TapParameters parameters{.taps = taps,
                                   .entries = columns_,
                                   .channels = reduce_,
                                   .order = access_.order,
                                   .channel_stride = tensors_.input.stride.c * bytes_,
                                   .row_stride = tensors_.input.stride.h * bytes_,
                                   .column_stride = tensors_.input.stride.w * bytes_,
                                   .lattices = filter_window()};
    return make_launch("tabulate_taps", ceil_div<int64_t>(columns_, kThreads), kThreads,
                       parameters);
  }

  Launch multiply(const SourceTap* taps, char* partial) const {
    const WeightGradParameters parameters{.grad_output = tensors_.output.data,
                                          .input = tensors_.input.data,
                                          .taps = taps,
                                          .partial = partial,
                                          .grad_stride = tensors_.output.stride,
                                          .input_stride = tensors_.input.stride,
                                          .pixels = pixels_,
                                          .rows = rows_,
                                          .columns = columns_,
                                          .reduce = reduce_,
                                          .steps_per_split = steps_per_split_,
                                          .element_bytes = int32_t(bytes_),
                                          .input_h = int32_t(shape_.input.h),
                                          .input_w = int32_t(shape_.input.w),
                                          .stride_h = int32_t(shape_.stride.h),
                                          .stride_w = int32_t(shape_.stride.w),
                                          .padding_top = int32_t(shape_.padding.top),
                                          .padding_left = int32_t(shape_.padding.left),
                                          .output_w = divider(shape_.output.w),
                                          .output_h = divider(shape_.output.h),
                                          .column_tiles = divider(column_tiles_),
                                          .row_tiles = divider(row_tiles_),
                                          .groups = divider(shape_.groups)};
    return make_launch(
        "weight_grad_gemm<" + variant_.math + ", " + storage_ + ", " + access_.name + ">",
        splits_ * shape_.groups * row_tiles_ * column_tiles_, kThreads, parameters,
        shared_bytes(variant_));
  }

  Launch sum(const char* partial) const {
    const bool inner = access_.order == TapOrder::kChannelsInner;
    return sum_launch(storage_, {.partial = partial,
                                 .result = tensors_.weight.data,
                                 .items = shape_.out_channels * columns_,
                                 .splits = splits_,
                                 .inner = divider(inner ? reduce_ : taps_),
                                 .middle = divider(inner ? taps_ : reduce_),
                                 .inner_stride = inner ? taps_ : 1,
                                 .middle_stride = inner ? 1 : taps_,
                                 .outer_stride = columns_});
  }

  const Conv2dShape& shape_;
  std::string storage_;
  int64_t bytes_;  // of an element
  const Conv2dTensors& tensors_;
  int64_t rows_, reduce_, taps_, columns_, pixels_;
  GemmVariant variant_;
  GradAccess access_;
  int64_t row_tiles_, column_tiles_, steps_per_split_, splits_;
};

}  // namespace

Plan plan_weight_grad_gemm(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                           const Conv2dSettings& settings, char* workspace) {
  return WeightGradGemm(problem, tensors, settings).plan(workspace);
}

}  // namespace cnnops::cuda
