// The tensors of a convolution as a correlation sees them: source -> result, through a filter.
#pragma once

#include "vector.h"

namespace cnnops::CNNOPS_TARGET {

// A filter element has the offset group * group_stride + produce * produce_stride + reduce *
// reduce_stride + r * row_stride + s * column_stride; `produce` counts the channels of a group's
// result, `reduce` those of its source.
template <class T>
struct FilterView {
  const T* data;
  int64_t group_stride, produce_stride, reduce_stride, row_stride, column_stride;
};

template <class T>
struct CorrelationOperands {
  int64_t batch, groups, reduce, produce;  // channels are per group
  const T* source;
  Strides4 source_stride;
  FilterView<T> filter;
  const T* bias;  // of groups * produce elements, or null
  T* result;
  Strides4 result_stride;
};

// A tensor's elements as accumulators, where they are stored as such; else null.
template <class T>
CNNOPS_INLINE auto accumulators(T* data) {
  using Stored = std::remove_const_t<T>;
  using A = Accumulate<Stored>;
  using Result = std::conditional_t<std::is_const_v<T>, const A, A>;
  if constexpr (std::is_same_v<Stored, A>) {
    return data;
  } else {
    return static_cast<Result*>(nullptr);
  }
}

// Image and channel of one map after another.
struct MapIndex {
  int64_t image, channel, channels;

  MapIndex(int64_t image, int64_t channel, int64_t channels)
      : image(image), channel(channel), channels(channels) {}
  MapIndex(int64_t map, int64_t channels) : MapIndex(map / channels, map % channels, channels) {}
  void next() {
    if (++channel == channels) ++image, channel = 0;
  }
};

// So many elements along an axis, so far apart.
struct Extent {
  int64_t count, step;
};

// The distance between pixels counted over columns, rows and images, where it is the same
// throughout; 0 where it is not.
CNNOPS_INLINE int64_t common_step(Extent columns, Extent rows, Extent images) {
  int64_t step = 0, count = 1;
  for (const Extent& extent : {columns, rows, images}) {
    if (extent.count == 1) continue;
    if (count == 1) step = extent.step;
    if (extent.step != count * step) return 0;
    count *= extent.count;
  }
  return count == 1 ? 1 : step;
}

template <class T>
CorrelationOperands<T> forward_operands(const Conv2dShape& shape, const Conv2dTensors& tensors) {
  const int64_t reduce = shape.in_channels / shape.groups,
                produce = shape.out_channels / shape.groups;
  const Strides4 w = tensors.weight.stride;
  return {shape.batch,
          shape.groups,
          reduce,
          produce,
          static_cast<const T*>(tensors.input.data),
          tensors.input.stride,
          {static_cast<const T*>(tensors.weight.data), produce * w.n, w.n, w.c, w.h, w.w},
          static_cast<const T*>(tensors.bias),
          static_cast<T*>(tensors.output.data),
          tensors.output.stride};
}

template <class T>
CorrelationOperands<T> input_grad_operands(const Conv2dShape& shape, const Conv2dTensors& tensors) {
  const int64_t reduce = shape.out_channels / shape.groups,
                produce = shape.in_channels / shape.groups;
  const Strides4 w = tensors.weight.stride;
  return {shape.batch,
          shape.groups,
          reduce,
          produce,
          static_cast<const T*>(tensors.output.data),
          tensors.output.stride,
          {static_cast<const T*>(tensors.weight.data), reduce * w.n, w.c, w.n, w.h, w.w},
          static_cast<const T*>(tensors.bias),
          static_cast<T*>(tensors.input.data),
          tensors.input.stride};
}

template <class T>
CorrelationOperands<T> correlation_operands(const Conv2dProblem& problem,
                                            const Conv2dTensors& tensors) {
  return problem.pass == Conv2dPass::kForward ? forward_operands<T>(problem.shape, tensors)
                                              : input_grad_operands<T>(problem.shape, tensors);
}

CNNOPS_INLINE Lattices correlation_lattices(const Conv2dProblem& problem) {
  const WindowGrid grid = window_grid(problem.shape);
  if (problem.pass == Conv2dPass::kForward) return forward_lattices(grid);
  return gradient_lattices({separate_single_window(grid.h), separate_single_window(grid.w)});
}

// The map a correlation writes.
CNNOPS_INLINE Pair result_map(const Conv2dProblem& problem) {
  return problem.pass == Conv2dPass::kForward ? problem.shape.output : problem.shape.input;
}

// The channels of a pixel.
template <class T>
void write_bias(const T* bias, T* pixel, int64_t channels) {
  if (bias == nullptr) {
    for (int64_t c = 0; c < channels; ++c) pixel[c] = T{};
  } else {
    for (int64_t c = 0; c < channels; ++c) pixel[c] = bias[c];
  }
}

// result(n, c, :, :) = bias(c), or zero without a bias: what a window that no sample reaches gives.
template <class T>
void fill_with_bias(const CorrelationOperands<T>& operands, Pair map, const Execution& execution) {
  const Strides4 stride = operands.result_stride;
  const int64_t channels = operands.groups * operands.produce;
  parallel(execution, operands.batch * map.h, [&](int64_t task, int64_t) {
    T* row = operands.result + task / map.h * stride.n + task % map.h * stride.h;
    if (stride.c == 1) {
      for (int64_t w = 0; w < map.w; ++w) write_bias(operands.bias, row + w * stride.w, channels);
      return;
    }
    for (int64_t c = 0; c < channels; ++c) {
      const T value = operands.bias != nullptr ? operands.bias[c] : T{};
      for (int64_t w = 0; w < map.w; ++w) row[c * stride.c + w * stride.w] = value;
    }
  });
}

}  // namespace cnnops::CNNOPS_TARGET
