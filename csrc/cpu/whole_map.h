// A window over a whole map is a fully connected layer: its samples are the channels of a map of one
// pixel, whose products need no patches and whose filter needs no reordering.
#pragma once

#include "vector.h"

namespace cnnops::CNNOPS_TARGET {

CNNOPS_INLINE bool covers_whole_map(const Conv2dShape& shape) {
  const auto& [top, bottom, left, right] = shape.padding;
  return shape.groups == 1 && shape.kernel.h == shape.input.h && shape.kernel.w == shape.input.w &&
         top == 0 && bottom == 0 && left == 0 && right == 0;
}

// The problem as one of single pixels, in channels_last.
CNNOPS_INLINE Conv2dProblem flat(Conv2dProblem problem) {
  problem.shape.in_channels *= problem.shape.input.h * problem.shape.input.w;
  problem.shape.input = problem.shape.kernel = {1, 1};
  problem.channels_last = true;
  return problem;
}

// Whether the samples of one image or filter lie side by side, in the same order in both tensors. A
// bias of the input, which all samples of a channel share, is not one of single samples.
CNNOPS_INLINE bool is_flat(const Conv2dProblem& problem, const Conv2dTensors& tensors) {
  if (problem.pass == Conv2dPass::kInputGrad && tensors.bias != nullptr) return false;
  const Conv2dShape& shape = problem.shape;
  const Strides4 &x = tensors.input.stride, &w = tensors.weight.stride;
  const int64_t rows = shape.input.h, columns = shape.input.w, channels = shape.in_channels;
  const auto contiguous = [&](const Strides4& stride) {
    return stride.w == 1 && stride.h == columns && stride.c == rows * columns;
  };
  const auto channels_last = [&](const Strides4& stride) {
    return stride.c == 1 && stride.w == channels && stride.h == columns * channels;
  };
  return (contiguous(x) && contiguous(w)) || (channels_last(x) && channels_last(w));
}

CNNOPS_INLINE Conv2dTensors flat(Conv2dTensors tensors) {
  for (Strides4* stride : {&tensors.input.stride, &tensors.weight.stride}) stride->c = 1;
  return tensors;
}

}  // namespace cnnops::CNNOPS_TARGET
