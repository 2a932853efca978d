#include <algorithm>

#include "../../arena.h"
#include "../conv2d_parameters.h"
#include "../tile.h"
#include "correlation_sides.h"
#include "direct_plan.h"
#include "gemm_variant.h"
#include "implicit_gemm_plan.h"
#include "lattice_tables.h"
#include "memory_order.h"

namespace cnnops::cuda {
namespace {

// How a pass fills the tiles of its source.
struct SourceAccess {
  const char* name;
  int64_t unit;  // channels that one entry of the table of taps stands for
  TapOrder order;
};

SourceAccess source_access(const Conv2dProblem& problem, const CorrelationSides& sides,
                           const GemmVariant& variant) {
  const bool copies = variant.operand_bytes == size_of(problem.dtype) &&
                      has_chunks(sides.source, sides.source_stride, sides.reduce, variant.chunk());
  if (copies) return {"Chunks", variant.chunk(), TapOrder::kChannelsInner};
  return {"Gather", 1,
          has_inner_channels(sides.source_stride) ? TapOrder::kChannelsInner
                                                  : TapOrder::kChannelsOuter};
}

// Channels a store of 16 bytes may hold, or 0.
int32_t vector_channels(const Conv2dProblem& problem, const CorrelationSides& sides) {
  const int64_t vector = kChunkBytes / size_of(problem.dtype);
  return problem.channels_last && sides.produce % vector == 0 ? int32_t(vector) : 0;
}

// The tiles in flight, and later the staged sums with the bias.
int64_t shared_bytes(const GemmVariant& variant) {
  const int64_t tiles = kStages * (variant.rows + variant.columns) * kRowBytes;
  const int64_t slab = (kSlab * (variant.columns + 1) + variant.columns) * variant.sum_bytes;
  return std::max(tiles, slab);
}

// The launches for one table of lattices, with their part of the workspace.
class CorrelationGemm {
 public:
  CorrelationGemm(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                  const Conv2dSettings& settings, const LatticeTable& lattices)
      : problem_(problem),
        tensors_(tensors),
        lattices_(lattices),
        sides_(correlation_sides(problem, tensors)),
        variant_(correlation_variant(problem.dtype, settings, sides_.produce)),
        access_(source_access(problem, sides_, variant_)),
        steps_(ceil_div(most_taps(lattices) * sides_.reduce, variant_.row())) {}

  void add_to(Plan& plan, Arena& arena) const {
    // Asynchronous copies read one step of taps ahead.
    const int64_t entries = (steps_ + 1) * variant_.row() / access_.unit;
    const int64_t filter_row = steps_ * variant_.row();
    const int64_t lattices = lattice_count(lattices_);
    SourceTap* taps = arena.take<SourceTap>(lattices * entries);
    char* filter = arena.take<char>(lattices * problem_.shape.groups * sides_.produce * filter_row *
                                    variant_.operand_bytes);
    plan.launches.push_back(tabulate(taps, entries));
    plan.launches.push_back(pack(filter, filter_row));
    plan.launches.push_back(multiply(taps, entries, filter, filter_row));
  }

 private:
  Launch tabulate(SourceTap* taps, int64_t entries) const {
    const int64_t bytes = size_of(problem_.dtype);
    const TapParameters parameters{.taps = taps,
                                   .entries = entries,
                                   .channels = sides_.reduce / access_.unit,
                                   .order = access_.order,
                                   .channel_stride = access_.unit * sides_.source_stride.c * bytes,
                                   .row_stride = sides_.source_stride.h * bytes,
                                   .column_stride = sides_.source_stride.w * bytes,
                                   .lattices = lattices_};
    return make_launch("tabulate_taps",
                       ceil_div<int64_t>(lattice_count(lattices_) * entries, kThreads), kThreads,
                       parameters);
  }

  Launch pack(char* filter, int64_t row) const {
    const FilterParameters parameters{.weight = tensors_.weight.data,
                                      .filter = filter,
                                      .row = row,
                                      .groups = problem_.shape.groups,
                                      .produce = sides_.produce,
                                      .reduce = sides_.reduce,
                                      .group_stride = sides_.group_stride,
                                      .produce_stride = sides_.produce_stride,
                                      .reduce_stride = sides_.reduce_stride,
                                      .row_stride = sides_.row_stride,
                                      .column_stride = sides_.column_stride,
                                      .order = access_.order,
                                      .lattices = lattices_};
    const int64_t elements =
        lattice_count(lattices_) * problem_.shape.groups * sides_.produce * row;
    return make_launch(
        "pack_filter<" + storage_name(problem_.dtype) + ", " + variant_.operand + ">",
        ceil_div<int64_t>(elements, kThreads), kThreads, parameters);
  }

  Launch multiply(const SourceTap* taps, int64_t entries, const char* filter,
                  int64_t filter_row) const {
    const Conv2dShape& shape = problem_.shape;
    const int64_t channel_tiles = ceil_div(sides_.produce, variant_.columns);
    const int64_t pixel_tiles = ceil_div(shape.batch * most_outputs(lattices_), variant_.rows);
    const CorrelationParameters parameters{.source = sides_.source,
                                           .filter = filter,
                                           .taps = taps,
                                           .bias = tensors_.bias,
                                           .result = sides_.result,
                                           .source_stride = sides_.source_stride,
                                           .result_stride = sides_.result_stride,
                                           .batch = shape.batch,
                                           .produce = sides_.produce,
                                           .reduce = sides_.reduce,
                                           .filter_row = filter_row,
                                           .tap_entries = entries,
                                           .vector_channels = vector_channels(problem_, sides_),
                                           .channel_tiles = divider(channel_tiles),
                                           .pixel_tiles = divider(pixel_tiles),
                                           .groups = divider(shape.groups),
                                           .lattices = lattices_};
    return make_launch("correlation_gemm<" + variant_.math + ", " + storage_name(problem_.dtype) +
                           ", " + access_.name + ">",
                       lattice_count(lattices_) * shape.groups * pixel_tiles * channel_tiles,
                       kThreads, parameters, shared_bytes(variant_));
  }

  const Conv2dProblem& problem_;
  const Conv2dTensors& tensors_;
  const LatticeTable& lattices_;
  CorrelationSides sides_;
  GemmVariant variant_;
  SourceAccess access_;
  int64_t steps_;
};

}  // namespace

Plan plan_correlation_gemm(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                           const Conv2dSettings& settings, char* workspace) {
  Plan plan;
  Arena arena(workspace);
  const Lattices lattices = lattices_of(problem);
  plan_bias_where_uncovered(problem, tensors, lattices, plan);
  for (const LatticeTable& table : lattice_tables(lattices))
    CorrelationGemm(problem, tensors, settings, table).add_to(plan, arena);
  plan.workspace_bytes = arena.size();
  return plan;
}

}  // namespace cnnops::cuda
