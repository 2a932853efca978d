// What a correlation needs before its product: the table of taps, and the filter in their order.
#pragma once

#include "conv2d_parameters.h"
#include "divider.cuh"
#include "operands.cuh"
#include "tile.cuh"

namespace cnnops::cuda {

// A tap of a lattice and a source channel of its group.
struct TapPosition {
  int64_t channel, i, j;
  bool exists;
};

// Position of element `k` of a row whose channels come in units of `unit`.
inline __device__ TapPosition tap_position(int64_t k, int64_t channels, int64_t rows,
                                           int64_t columns, TapOrder order) {
  if (order == TapOrder::kChannelsInner) {
    const int64_t tap = k / channels, i = tap / columns;
    return {k - tap * channels, i, tap - i * columns, i < rows};
  }
  const int64_t row = k / columns, channel = row / rows;
  return {channel, row - channel * rows, k - row * columns, channel < channels};
}

// One thread an entry.
static __global__ void __launch_bounds__(kThreads)
    tabulate_taps(const __grid_constant__ TapParameters parameters) {
  const int64_t lattices =
      parameters.lattices.row_count * int64_t(parameters.lattices.column_count);
  const int64_t at = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= lattices * parameters.entries) return;
  const int64_t lattice = at / parameters.entries;
  const CorrelationAxis& h =
      parameters.lattices.rows[lattice / parameters.lattices.column_count].axis;
  const CorrelationAxis& w =
      parameters.lattices.columns[lattice % parameters.lattices.column_count].axis;
  const TapPosition tap = tap_position(at - lattice * parameters.entries, parameters.channels,
                                       h.taps, w.taps, parameters.order);
  SourceTap entry{0, kOutside, kOutside};
  if (tap.exists) {
    const int64_t y = h.offset + tap.i * h.dilation, x = w.offset + tap.j * w.dilation;
    entry = {tap.channel * parameters.channel_stride + y * parameters.row_stride +
                 x * parameters.column_stride,
             int32_t(y), int32_t(x)};
  }
  parameters.taps[at] = entry;
}

// One thread an element.
template <class Storage, class Operand>
__global__ void __launch_bounds__(kThreads)
    pack_filter(const __grid_constant__ FilterParameters parameters) {
  const int64_t lattices =
      parameters.lattices.row_count * int64_t(parameters.lattices.column_count);
  const int64_t at = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t row = at / parameters.row, k = at - row * parameters.row;
  const int64_t group = row / parameters.produce, produce = row - group * parameters.produce;
  const int64_t lattice = group / parameters.groups;
  if (lattice >= lattices) return;
  const CorrelationAxis& h =
      parameters.lattices.rows[lattice / parameters.lattices.column_count].axis;
  const CorrelationAxis& w =
      parameters.lattices.columns[lattice % parameters.lattices.column_count].axis;
  const TapPosition tap = tap_position(k, parameters.reduce, h.taps, w.taps, parameters.order);
  Operand value{};
  if (tap.exists) {
    const int64_t offset = (group - lattice * parameters.groups) * parameters.group_stride +
                           produce * parameters.produce_stride +
                           tap.channel * parameters.reduce_stride +
                           (h.tap_first + tap.i * h.tap_step) * parameters.row_stride +
                           (w.tap_first + tap.j * w.tap_step) * parameters.column_stride;
    value = operand_of<Operand>(static_cast<const Storage*>(parameters.weight)[offset]);
  }
  static_cast<Operand*>(parameters.filter)[at] = value;
}

}  // namespace cnnops::cuda
