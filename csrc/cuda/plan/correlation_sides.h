// The tensors of a convolution as a correlation sees them: source -> result, through a filter.
#pragma once

#include "../../conv2d_problem.h"

namespace cnnops::cuda {

struct CorrelationSides {
  int64_t reduce, produce;  // channels of a group: of the source, of the result
  const void* source;
  void* result;
  Strides4 source_stride, result_stride;
  Pair map;  // of the result
  // A weight lies at group * group_stride + (channel of the result) * produce_stride + (channel of
  // the source) * reduce_stride + r * row_stride + s * column_stride.
  int64_t group_stride, produce_stride, reduce_stride, row_stride, column_stride;
};

inline CorrelationSides correlation_sides(const Conv2dProblem& problem,
                                          const Conv2dTensors& tensors) {
  const Conv2dShape& shape = problem.shape;
  const int64_t in = shape.in_channels / shape.groups, out = shape.out_channels / shape.groups;
  const Strides4& w = tensors.weight.stride;
  if (problem.pass == Conv2dPass::kForward) {
    return {in,
            out,
            tensors.input.data,
            tensors.output.data,
            tensors.input.stride,
            tensors.output.stride,
            shape.output,
            out * w.n,
            w.n,
            w.c,
            w.h,
            w.w};
  }
  return {out,
          in,
          tensors.output.data,
          tensors.input.data,
          tensors.output.stride,
          tensors.input.stride,
          shape.input,
          out * w.n,
          w.c,
          w.n,
          w.h,
          w.w};
}

}  // namespace cnnops::cuda
