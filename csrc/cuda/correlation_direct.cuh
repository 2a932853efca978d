// Correlation without tiles: a thread an output, which walks over the taps of its window and the
// source channels of its group. For groups of few channels, where a matrix product would be mostly
// padding, and for maps beyond 32-bit coordinates. Lanes go along the result's memory.
#pragma once

#include "conv2d_parameters.h"
#include "divider.cuh"
#include "numbers.cuh"
#include "tile.cuh"

namespace cnnops::cuda {

// An output of a lattice: image, channel, row and column in the lattice.
struct LatticeOutput {
  int64_t n, channel, i, j;
};

inline __device__ LatticeOutput lattice_output(const DirectParameters& parameters, int64_t index,
                                               const LatticeAxis& h, const LatticeAxis& w) {
  LatticeOutput output;
  if (parameters.channels_last) output.channel = take_digit(index, parameters.channels);
  output.j = take_digit(index, w.count);
  output.i = take_digit(index, h.count);
  if (!parameters.channels_last) output.channel = take_digit(index, parameters.channels);
  output.n = index;
  return output;
}

// Taps of an axis that lie inside the map.
struct TapRange {
  int64_t first, last;
};

inline __device__ TapRange taps_inside(const CorrelationAxis& axis, int64_t start) {
  TapRange range{0, axis.taps};
  while (range.first < range.last && start + range.first * axis.dilation < 0) ++range.first;
  while (range.first < range.last && start + (range.last - 1) * axis.dilation >= axis.source)
    --range.last;
  return range;
}

template <class Storage>
__device__ Accumulate<Storage> window_sum(const DirectParameters& parameters,
                                          const LatticeOutput& output, const CorrelationAxis& h,
                                          const CorrelationAxis& w) {
  const int64_t group = output.channel / parameters.group_channels;
  const int64_t start_h = output.i * h.stride + h.offset;
  const int64_t start_w = output.j * w.stride + w.offset;
  const TapRange rows = taps_inside(h, start_h), columns = taps_inside(w, start_w);
  const Storage* source = static_cast<const Storage*>(parameters.source) +
                          output.n * parameters.source_stride.n +
                          group * parameters.reduce * parameters.source_stride.c;
  const Storage* weight =
      static_cast<const Storage*>(parameters.weight) + group * parameters.group_stride +
      (output.channel - group * parameters.group_channels.divisor) * parameters.produce_stride;
  Accumulate<Storage> sum = 0;
  for (int64_t i = rows.first; i < rows.last; ++i) {
    for (int64_t j = columns.first; j < columns.last; ++j) {
      const Storage* x = source + (start_h + i * h.dilation) * parameters.source_stride.h +
                         (start_w + j * w.dilation) * parameters.source_stride.w;
      const Storage* f = weight + (h.tap_first + i * h.tap_step) * parameters.row_stride +
                         (w.tap_first + j * w.tap_step) * parameters.column_stride;
      for (int64_t c = 0; c < parameters.reduce; ++c) {
        sum = fma(widen(x[c * parameters.source_stride.c]), widen(f[c * parameters.reduce_stride]),
                  sum);
      }
    }
  }
  return sum;
}

template <class Storage>
__global__ void __launch_bounds__(kThreads)
    correlation_direct(const __grid_constant__ DirectParameters parameters) {
  const int64_t lattice = blockIdx.x / parameters.lattice_blocks;
  const int64_t index = (blockIdx.x - lattice * parameters.lattice_blocks) * kThreads + threadIdx.x;
  const LatticeAxis& h = parameters.lattices.rows[lattice / parameters.lattices.column_count];
  const LatticeAxis& w = parameters.lattices.columns[lattice % parameters.lattices.column_count];
  const LatticeOutput output = lattice_output(parameters, index, h, w);
  if (index >= parameters.batch * parameters.channels.divisor * h.axis.count * w.axis.count) return;

  Accumulate<Storage> sum = window_sum<Storage>(parameters, output, h.axis, w.axis);
  if (parameters.bias != nullptr)
    sum += widen(static_cast<const Storage*>(parameters.bias)[output.channel]);
  const Strides4& stride = parameters.result_stride;
  static_cast<Storage*>(parameters.result)[output.n * stride.n + output.channel * stride.c +
                                           (h.axis.first + output.i * h.axis.step) * stride.h +
                                           (w.axis.first + output.j * w.axis.step) * stride.w] =
      narrow<Storage>(sum);
}

}  // namespace cnnops::cuda
