// What the costs of the algorithms have in common. They are times of one image in multiply-adds of a
// matrix product at its best, fitted to measurements; only their order matters.
#pragma once

#include "blocking.h"
#include "conv2d_window_rows_weight_grad.h"
#include "gemm_tile.h"
#include "tap_products_plan.h"
#include "whole_map.h"

namespace cnnops::CNNOPS_TARGET {

// Sizes of one image. Source and result are the activations; for the weight gradient, those of the
// forward pass.
struct Conv2dCounts {
  double products;  // multiply-adds of the definition, those with zeros of the padding included
  double source, result;    // elements
  int64_t reduce, produce;  // channels of a group, in the source and in the result

  explicit Conv2dCounts(const Conv2dProblem& problem) {
    const Conv2dShape& shape = problem.shape;
    const int64_t in = shape.in_channels, out = shape.out_channels;
    const bool forward = problem.pass != Conv2dPass::kInputGrad;
    products = double(shape.output.h * shape.output.w) * double(shape.kernel.h * shape.kernel.w) *
               double(out) * double(in / shape.groups);
    const double input = double(shape.input.h * shape.input.w) * double(in);
    const double output = double(shape.output.h * shape.output.w) * double(out);
    source = forward ? input : output;
    result = forward ? output : input;
    reduce = (forward ? in : out) / shape.groups;
    produce = (forward ? out : in) / shape.groups;
  }
};

// Pixels that share their taps: all of a result, but one of each residue of an input gradient.
CNNOPS_INLINE Pair lattice_size(const Conv2dProblem& problem) {
  const Conv2dShape& shape = problem.shape;
  const bool is_input = problem.pass == Conv2dPass::kInputGrad;
  const auto size = [&](int64_t input, int64_t stride, int64_t output) {
    return larger<int64_t>(1, is_input ? divide_up(input, stride) : output);
  };
  return {size(shape.input.h, shape.stride.h, shape.output.h),
          size(shape.input.w, shape.stride.w, shape.output.w)};
}

// One channel a group leaves a tile of a matrix product almost empty.
CNNOPS_INLINE double depthwise_cost(const Conv2dProblem& problem) {
  return Conv2dCounts(problem).products / 2;
}

// A product for each row of pixels and of the filter, whose sums are fetched and put back and whose
// samples are copied.
CNNOPS_INLINE double window_rows_cost(const Conv2dProblem& problem) {
  constexpr double kSums = 2, kCopy = 3;
  const Conv2dCounts counts(problem);
  const Conv2dShape& shape = problem.shape;
  const double filling =
      double(round_up(shape.out_channels, lanes<float>)) / double(shape.out_channels);
  const double row = 1 + kSums / double(larger<int64_t>(1, shape.output.w));
  const double copied = double(shape.kernel.h * shape.output.h * shape.input.w * shape.in_channels);
  return counts.products * filling * row + kCopy * copied;
}

// Pixels between the rows of a slab and behind the last one are multiplied too, or rows of a weight
// gradient are begun; slabs are filled and sums are written. An input gradient's pixels are those of
// the input, of which there are more than windows without padding.
CNNOPS_INLINE double direct_cost(const Conv2dProblem& problem) {
  constexpr double kCopy = 12, kMove = 20, kWrite = 26, kTranspose = 34, kBegin = 0.7;
  const Conv2dCounts counts(problem);
  const Conv2dShape& shape = problem.shape;
  if (problem.pass == Conv2dPass::kWeightGrad) {
    if (has_window_rows(problem)) return window_rows_cost(problem);
    const int64_t columns = larger<int64_t>(1, shape.output.w);
    const double vectors = double(divide_up(columns, lanes<float>)) + kBegin;
    const double moved = problem.channels_last ? kMove * counts.source + kTranspose * counts.result
                                               : kCopy * (counts.source + counts.result);
    return vectors * double(lanes<float>) / double(columns) * counts.products + moved;
  }
  const double moved =
      kMove * counts.source + (problem.channels_last ? kTranspose : kWrite) * counts.result;
  const Pair map = lattice_size(problem);
  const int64_t pitch = map.w + (shape.kernel.w - 1) * shape.dilation.w / shape.stride.w;
  const double pixels = double(round_up(map.h * pitch, kTileVectors * lanes<float>));
  const int64_t windows = larger<int64_t>(1, shape.output.h * shape.output.w);
  return counts.products * pixels / double(windows) + moved;
}

// Whether an implicit matrix product copies rows instead of gathering patches.
CNNOPS_INLINE bool copies_rows(const Conv2dProblem& problem) {
  if (problem.pass == Conv2dPass::kWeightGrad) return false;
  const Conv2dCounts counts(problem);
  const Lattices lattices = correlation_lattices(problem);
  if (lattices.rows.empty() || lattices.columns.empty()) return false;
  return has_window_rows({lattices.rows[0], lattices.columns[0]}, counts.reduce, counts.produce,
                         problem.channels_last);
}

// Channels fill vectors; rows are copied, or transposed, and so are results; the filter is read once
// an image. Neighbours of a strided input gradient lie apart.
CNNOPS_INLINE double copied_rows_cost(const Conv2dProblem& problem) {
  constexpr double kCopy = 3, kWrite = 10, kTransposeRow = 20, kTransposeResult = 24, kFilter = 16,
                   kApart = 1000;
  const Conv2dCounts counts(problem);
  const Pair map = lattice_size(problem);
  const double filling =
      double(round_up(counts.produce, lanes<float>)) / double(larger<int64_t>(1, counts.produce));
  const double moved = problem.channels_last
                           ? kCopy * counts.source + kWrite * counts.result
                           : kTransposeRow * counts.source + kTransposeResult * counts.result;
  const bool is_apart = problem.pass == Conv2dPass::kInputGrad && problem.shape.stride.w > 1;
  const double apart =
      is_apart ? kApart * double(problem.shape.input.h * problem.shape.input.w) : 0;
  return counts.products * (filling + kFilter / double(map.h * map.w)) + moved + apart;
}

// Gaps between rows are multiplied too; grad_output is packed, and each product stored and gathered.
// Tiles are larger than those of slabs.
CNNOPS_INLINE double tap_products_cost(const Conv2dProblem& problem) {
  constexpr double kTile = 0.9, kPack = 11, kGather = 12;
  const TapProductsPlan plan(problem);
  const Conv2dCounts counts(problem);
  const double filling = double(plan.reached) / double(plan.w.output);
  return counts.products * (kTile * filling + kGather / double(plan.reduce)) +
         kPack * counts.source;
}

// Patches are gathered, a row of pixels or in channels_last a run of channels at a time, sums are
// written, and the filter is read, or its gradient written, once an image. A weight gradient in
// channels_last has to find its way from pixel to pixel.
CNNOPS_INLINE double implicit_gemm_cost(const Conv2dProblem& problem) {
  constexpr double kGather = 2, kRow = 300, kRun = 180, kMove = 20, kWrite = 10, kPixel = 600,
                   kFilter = 16;
  const Conv2dCounts counts(problem);
  const Conv2dShape& shape = problem.shape;
  const double patches = counts.products / double(larger<int64_t>(1, counts.produce));
  if (covers_whole_map(shape)) return counts.products + kMove * counts.result;
  if (has_tap_products(problem)) return tap_products_cost(problem);
  if (copies_rows(problem)) return copied_rows_cost(problem);
  const bool pointwise = shape.kernel.h * shape.kernel.w == 1;
  const double filter = pointwise ? 0
                                  : kFilter * counts.products /
                                        double(larger<int64_t>(1, shape.output.h * shape.output.w));
  if (!problem.channels_last) {
    const Pair map = lattice_size(problem);
    const double row = double(pointwise ? map.h * map.w : map.w);
    return counts.products + (kGather + kRow / row) * patches + filter + kMove * counts.result;
  }
  const bool dense = shape.groups == 1 && shape.dilation.w == 1;
  const double run =
      double(larger<int64_t>(1, counts.reduce)) * double(dense ? shape.kernel.w : int64_t(1));
  const double gathering = pointwise ? 0 : patches * (kGather + kRun / run);
  const bool is_gradient = problem.pass == Conv2dPass::kWeightGrad;
  const double walking = is_gradient ? kPixel * double(shape.output.h * shape.output.w) : 0;
  const int64_t in_vectors =
      is_gradient ? shape.in_channels / shape.groups * shape.kernel.h * shape.kernel.w
                  : counts.produce;
  const double filling =
      double(round_up(in_vectors, lanes<float>)) / double(larger<int64_t>(1, in_vectors));
  return counts.products * filling + gathering + walking + filter + kWrite * counts.result;
}

}  // namespace cnnops::CNNOPS_TARGET
