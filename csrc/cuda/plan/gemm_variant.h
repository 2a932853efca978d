// Which instance of a matrix-product kernel a convolution runs, as its name spells it.
#pragma once

#include <string>

#include "../tile.h"
#include "conv2d_plan.h"
#include "element_type.h"

namespace cnnops::cuda {

// How a pass multiplies: on tensor cores, or by fused multiply-adds.
struct GemmVariant {
  std::string math;     // "TensorCore<__half, 128, 64>"
  std::string operand;  // "__half"
  int64_t operand_bytes, sum_bytes;
  int64_t rows, columns;  // of a tile

  int64_t chunk() const { return kChunkBytes / operand_bytes; }  // elements
  int64_t row() const { return kRowBytes / operand_bytes; }      // elements along the reduction
};

// Of a correlation whose groups have so many result channels, its columns.
GemmVariant correlation_variant(DType dtype, const Conv2dSettings& settings, int64_t columns);

// Of a weight gradient with so many output channels and weights a channel in a group.
GemmVariant weight_grad_variant(DType dtype, const Conv2dSettings& settings, int64_t rows,
                                int64_t columns);

}  // namespace cnnops::cuda
