// What the convolution kernels are told, shared by host and device.
//
// A convolution and its input gradient are correlations over lattices of outputs (correlation.h).
// As a matrix product, a lattice has a row for each of its outputs (pixels of all images, columns
// of the map fastest), a column for each channel of a group's result, and is summed over the source
// channels of the group and the taps of the filter.
#pragma once

#include <cstdint>

#include "../conv2d_shape.h"
#include "../correlation.h"
#include "../tensor_view.h"
#include "divider.h"

namespace cnnops::cuda {

// Lattices of one launch along an axis.
inline constexpr int kAxes = 8;

struct LatticeAxis {
  CorrelationAxis axis;
  Divider count;
};
struct LatticeTable {
  int row_count, column_count;
  LatticeAxis rows[kAxes], columns[kAxes];
};

// Where a tap reads, relative to a window's first sample: bytes of memory, rows and columns of the
// map. Entries behind the last tap have rows and columns outside of every map.
struct alignas(16) SourceTap {
  int64_t offset;
  int32_t h, w;
};
inline constexpr int32_t kOutside = -(1 << 30);

// The order in which a product sums: channel by channel in memory where they lie next to each
// other, else column by column of the filter.
enum class TapOrder : int32_t { kChannelsInner, kChannelsOuter };

// taps[lattice][entry] for entries of `channels_per_tap` channels each, and none behind.
struct TapParameters {
  SourceTap* taps;
  int64_t entries;  // of a lattice, with those behind its last tap
  int64_t channels;
  TapOrder order;
  int64_t channel_stride, row_stride, column_stride;  // bytes of the source; a channel is an entry
  LatticeTable lattices;
};

// filter[lattice][group][produce][row]: rows hold the weights in the order of the taps, and zeros
// behind.
struct FilterParameters {
  const void* weight;
  void* filter;
  int64_t row;  // elements
  int64_t groups, produce, reduce;
  int64_t group_stride, produce_stride, reduce_stride, row_stride, column_stride;  // of the weight
  TapOrder order;
  LatticeTable lattices;
};

struct CorrelationParameters {
  const void* source;
  const void* filter;
  const SourceTap* taps;
  const void* bias;  // or null
  void* result;
  Strides4 source_stride, result_stride;
  int64_t batch, produce, reduce;
  int64_t filter_row, tap_entries;
  int32_t vector_channels;  // channels a 16-byte store may hold, 0 if none
  Divider channel_tiles, pixel_tiles, groups;
  LatticeTable lattices;
};

// The same operation without tiles: weights are read where they lie.
struct DirectParameters {
  const void* source;
  const void* weight;
  const void* bias;  // or null
  void* result;
  Strides4 source_stride, result_stride;
  int64_t batch, produce, reduce;
  int64_t group_stride, produce_stride, reduce_stride, row_stride, column_stride;  // of the weight
  int64_t lattice_blocks;
  bool channels_last;  // of the result
  Divider channels, group_channels;
  LatticeTable lattices;
};

// grad_weight as a matrix product: rows are the output channels of a group, columns its weights in
// the order of the taps, summed over the pixels of all images in `splits` parts.
//
// A block keeps in shared memory, besides its tiles, where each pixel of kStages steps lies, the taps
// of its columns, and its place; these many bytes each.
inline constexpr int64_t kGradPixelBytes = 24, kGradPlaceBytes = 48;

struct WeightGradParameters {
  const void* grad_output;
  const void* input;
  const SourceTap* taps;  // of every column
  void* partial;          // [split][group][row][column]
  Strides4 grad_stride, input_stride;
  int64_t pixels, rows, columns, reduce;  // reduce: input channels of a group
  int64_t steps_per_split;                // tiles along the reduction
  int32_t element_bytes;                  // of grad_output and input
  int32_t input_h, input_w, stride_h, stride_w, padding_top, padding_left;
  Divider output_w, output_h, column_tiles, row_tiles, groups;
};

// Sums over pixels, one for each of `items` (channels, or weights), by blocks that hold
// items_per_block of them and one of `splits` parts of the pixels.
struct PixelSumParameters {
  const void* grad_output;
  const void* input;
  void* partial;  // [split][item]
  Strides4 grad_stride, input_stride;
  int64_t items, pixels, pixels_per_split;
  int32_t items_per_block;
  Pair input_map, stride, dilation;
  int64_t padding_top, padding_left;
  Divider output_w, output_h, item_blocks;
  // Digits of a weight's item: kChannelsInner puts the output channel first (the fastest), then the
  // channel of the group, then the tap; kChannelsOuter is the order of a contiguous weight.
  TapOrder order;
  Divider kernel_w, kernel_h, reduce, out_channels, group_channels;
};

// result[place] = sum of partial[split][item] in the order of splits. An item has three digits, the
// inner one the fastest; its place is the sum of digit x stride.
struct SumParameters {
  const void* partial;
  void* result;
  int64_t items, splits;
  Divider inner, middle;
  int64_t inner_stride, middle_stride, outer_stride;
};

}  // namespace cnnops::cuda
