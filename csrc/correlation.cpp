#include "correlation.h"

#include <algorithm>
#include <numeric>

namespace cnnops {
namespace {

CorrelationAxis forward_axis(const WindowAxis& axis) {
  return {.source = axis.input,
          .first = 0,
          .step = 1,
          .count = axis.output,
          .stride = axis.stride,
          .offset = -axis.padding,
          .dilation = axis.dilation,
          .taps = axis.kernel,
          .tap_first = 0,
          .tap_step = 1};
}

// The lattice of the inputs that filter element `tap` reaches first, or one without outputs.
// `period` filter elements further on the same inputs are reached again.
CorrelationAxis gradient_axis(const WindowAxis& axis, int64_t tap, int64_t period) {
  const int64_t phase = tap * axis.dilation - axis.padding;
  const int64_t first = (phase % axis.stride + axis.stride) % axis.stride;
  const int64_t taps = (axis.kernel - 1 - tap) / period + 1;
  const int64_t last_tap = tap + (taps - 1) * period;
  return {.source = axis.output,
          .first = first,
          .step = axis.stride,
          .count = first < axis.input ? (axis.input - 1 - first) / axis.stride + 1 : 0,
          .stride = 1,
          .offset = (first + axis.padding - last_tap * axis.dilation) / axis.stride,
          .dilation = period * axis.dilation / axis.stride,
          .taps = taps,
          .tap_first = last_tap,
          .tap_step = -period};
}

std::vector<CorrelationAxis> gradient_axes(const WindowAxis& axis) {
  const int64_t period = axis.stride / std::gcd(axis.stride, axis.dilation);
  std::vector<CorrelationAxis> axes;
  for (int64_t tap = 0; tap < std::min(period, axis.kernel); ++tap) {
    const CorrelationAxis candidate = gradient_axis(axis, tap, period);
    if (candidate.count > 0) axes.push_back(candidate);
  }
  return axes;
}

void drop_unreachable_taps(CorrelationAxis& axis) {
  // The last output reaches furthest back with its first taps, the first one furthest on with its last.
  const int64_t before = -(axis.offset + (axis.count - 1) * axis.stride);
  const int64_t first =
      std::clamp<int64_t>((before + axis.dilation - 1) / axis.dilation, 0, axis.taps - 1);
  const int64_t last =
      std::clamp<int64_t>((axis.source - 1 - axis.offset) / axis.dilation, first, axis.taps - 1);
  axis.offset += first * axis.dilation;
  axis.tap_first += first * axis.tap_step;
  axis.taps = last - first + 1;
}

}  // namespace

WindowGrid window_grid(const Conv2dShape& shape) {
  return {.h = {shape.input.h, shape.output.h, shape.kernel.h, shape.stride.h, shape.padding.top,
                shape.dilation.h},
          .w = {shape.input.w, shape.output.w, shape.kernel.w, shape.stride.w, shape.padding.left,
                shape.dilation.w}};
}

WindowGrid window_grid(const Pool2dShape& shape) {
  return {.h = {shape.input.h, shape.output.h, shape.kernel.h, shape.stride.h, shape.padding.h,
                shape.dilation.h},
          .w = {shape.input.w, shape.output.w, shape.kernel.w, shape.stride.w, shape.padding.w,
                shape.dilation.w}};
}

Lattices forward_lattices(const WindowGrid& grid) {
  return {{forward_axis(grid.h)}, {forward_axis(grid.w)}};
}

Lattices reachable(Lattices lattices) {
  for (CorrelationAxis& axis : lattices.rows) drop_unreachable_taps(axis);
  for (CorrelationAxis& axis : lattices.columns) drop_unreachable_taps(axis);
  return lattices;
}

Lattices gradient_lattices(const WindowGrid& grid) {
  return {gradient_axes(grid.h), gradient_axes(grid.w)};
}

WindowAxis separate_single_window(const WindowAxis& axis) {
  WindowAxis separated = axis;
  if (axis.output == 1)
    separated.stride = std::max(axis.stride, window_extent(axis.kernel, axis.dilation));
  return separated;
}

bool covers(const Lattices& lattices, Pair map) {
  const auto count = [](const std::vector<CorrelationAxis>& axes) {
    int64_t outputs = 0;
    for (const CorrelationAxis& axis : axes) outputs += axis.count;
    return outputs;
  };
  return count(lattices.rows) == map.h && count(lattices.columns) == map.w;
}

}  // namespace cnnops
