// Which part of a correlation a block computes, and where the pixels of a lattice lie.
#pragma once

#include "conv2d_parameters.h"
#include "divider.cuh"

namespace cnnops::cuda {

struct TilePlace {
  int64_t group, first_pixel, first_channel, pixels;  // pixels: of the lattice
  int lattice, row_axis, column_axis;

  // For all threads of the block; it lies in shared memory, since registers are scarce in the product.
  template <class Math>
  __device__ void find(const CorrelationParameters& parameters) {
    const int64_t pixel_tile = int64_t(blockIdx.x) / parameters.channel_tiles;
    const int64_t rest = pixel_tile / parameters.pixel_tiles;
    lattice = int(rest / parameters.groups);
    row_axis = lattice / parameters.lattices.column_count;
    column_axis = lattice % parameters.lattices.column_count;
    group = rest - lattice * parameters.groups.divisor;
    first_pixel = (pixel_tile - rest * parameters.pixel_tiles.divisor) * Math::kRows;
    first_channel = (blockIdx.x - pixel_tile * parameters.channel_tiles.divisor) * Math::kColumns;
    pixels = parameters.batch * parameters.lattices.rows[row_axis].axis.count *
             parameters.lattices.columns[column_axis].axis.count;
  }
};

// A pixel of a lattice: image, row and column in the lattice.
struct LatticePixel {
  int64_t n, i, j;
};

inline __device__ LatticePixel lattice_pixel(int64_t pixel, const LatticeAxis& h,
                                             const LatticeAxis& w) {
  const int64_t j = take_digit(pixel, w.count);
  const int64_t i = take_digit(pixel, h.count);
  return {pixel, i, j};
}

}  // namespace cnnops::cuda
