// Products of the Winograd weight gradient: sums of matrix products over tiles, one for each pair of
// the scheme's filters, and the filters' gradient that they are transformed to.
#pragma once

#include "gemm_tile.h"
#include "winograd_filter.h"
#include "winograd_result.h"

namespace cnnops::CNNOPS_TARGET {

// Register tiles have kTileRows output channels and kTileColumns input channels; panels of factors
// as many or more.
inline constexpr int64_t kOutputPanel = 64, kInputPanel = kTileColumns<float>;
static_assert(kOutputPanel % kLineChannels == 0);

// Factors of a chunk of tiles, [product][panel][tile][channel of the panel]: panels have `width`
// channels, or all if they are fewer.
template <int64_t width>
struct FactorPanels {
  int64_t row, panel, stride;  // floats from one tile, one panel and one product to the next
  float* data;

  template <class Scheme>
  static FactorPanels take(int64_t tiles, int64_t channels, Arena& arena) {
    const int64_t row = smaller(width, round_up(channels, lanes<float>)), panel = tiles * row;
    const int64_t stride = round_up(divide_up(channels, width) * panel, 1024) + 16;
    return {row, panel, stride, arena.take<float>(kWinogradProducts<Scheme> * stride)};
  }
  FactorPlace place(int64_t tile, int64_t channel) const {
    return {data + channel / width * panel + tile * row + channel % width, stride, row};
  }
};

// Products in the order of their filters.
template <class Scheme>
struct ProductOrder {
  static constexpr int kCount = kWinogradProducts<Scheme>;
  int product[kCount], filter[kCount];

  constexpr ProductOrder() : product{}, filter{} {
    int position = 0;
    for (int f = 0; f < Scheme::kFilters * Scheme::kFilters; ++f) {
      for (int i = 0; i < kCount; ++i) {
        if (filter_of<Scheme>(i) == f) product[position] = i, filter[position++] = f;
      }
    }
  }
  constexpr bool starts_filter(int64_t position) const {
    return position == 0 || filter[position] != filter[position - 1];
  }
};

// Sums of products, [segment][filter][output channel][input channel], for some channels of either
// side.
struct ProductSums {
  Range outputs, inputs;
  int64_t row, filter, segment;  // floats from one to the next
  float* data;

  template <class Scheme>
  static ProductSums take(const Range& outputs, const Range& inputs, int64_t segments,
                          Arena& arena) {
    const int64_t row = round_up(inputs.last - inputs.first, lanes<float>);
    const int64_t filter = round_up((outputs.last - outputs.first) * row, 1024) + 16;
    const int64_t segment = Scheme::kFilters * Scheme::kFilters * filter;
    return {outputs, inputs, row, filter, segment, arena.take<float>(segments * segment)};
  }
  int64_t bytes() const { return segment * int64_t(sizeof(float)); }  // of a segment

  ProductSums of(int64_t index) const {
    ProductSums one = *this;
    one.data += index * segment;
    return one;
  }
  // The memory for other channels, not more of them.
  ProductSums with(const Range& new_outputs, const Range& new_inputs) const {
    return {new_outputs, new_inputs, row, filter, segment, data};
  }
  // Those of some of the output channels.
  ProductSums part(const Range& some) const {
    ProductSums sums = with(some, inputs);
    sums.data += (some.first - outputs.first) * row;
    return sums;
  }
};

// The factors of a chunk of tiles: of all input channels, and of one panel of output channels.
template <class Scheme>
struct ProductFactors {
  const FactorPanels<kInputPanel>& input;
  const FactorPanels<kOutputPanel>& output;

  // Sets, or adds to, the sums of the panel's output channels for all tiles of a block.
  void multiply_block(const TileBlock& block, bool is_first, const ProductSums& sums) const {
    for (int64_t position = 0; position < kOrder.kCount; ++position) {
      const Range slots = slots_of(position, block);
      bool is_start = is_first && kOrder.starts_filter(position);
      Range part = first_part(slots);
      do {
        const Range rest{part.last, slots.last};
        const Ahead ahead = rest.first < rest.last
                                ? part_ahead(position, first_part(rest), sums)
                                : product_ahead(position + 1, block, is_first, sums);
        multiply_part(position, part, is_start, sums, ahead);
        is_start = false;
        part = first_part(rest);
      } while (part.first < part.last);
    }
  }

 private:
  static constexpr ProductOrder<Scheme> kOrder{};

  static Range slots_of(int64_t position, const TileBlock& block) {
    return block.with_product<Scheme>(kOrder.product[position]);
  }
  // Their factors in one panel of either side fit the L1 cache.
  static Range first_part(const Range& slots) {
    return {slots.first, smaller(slots.last, slots.first + Scheme::kTileDepth)};
  }
  static int64_t channels(const Range& range) { return range.last - range.first; }

  static float* sums_of(int64_t position, const ProductSums& sums) {
    return sums.data + kOrder.filter[position] * sums.filter;
  }

  // What a product starts with: its sums, if they are in memory and not those of the product before,
  // and factors.
  Ahead product_ahead(int64_t position, const TileBlock& block, bool is_first,
                      const ProductSums& sums) const {
    Ahead ahead;
    if (position == kOrder.kCount) return ahead;
    if (!is_first && kOrder.starts_filter(position))
      ahead.add(sums_of(position, sums), channels(sums.outputs) * sums.row);
    add_factors(position, first_part(slots_of(position, block)), sums, ahead);
    return ahead;
  }
  Ahead part_ahead(int64_t position, const Range& tiles, const ProductSums& sums) const {
    Ahead ahead;
    add_factors(position, tiles, sums, ahead);
    return ahead;
  }

  void add_factors(int64_t position, const Range& tiles, const ProductSums& sums,
                   Ahead& ahead) const {
    const int64_t product = kOrder.product[position], count = tiles.last - tiles.first;
    ahead.add(output.place(tiles.first, 0).data + product * output.stride, count * output.row);
    for (int64_t c = sums.inputs.first; c < sums.inputs.last; c += kInputPanel)
      ahead.add(input.place(tiles.first, c).data + product * input.stride, count * input.row);
  }

  void multiply_part(int64_t position, const Range& tiles, bool is_start, const ProductSums& sums,
                     const Ahead& ahead) const {
    const int64_t product = kOrder.product[position];
    float* const to = sums_of(position, sums);
    multiply<float>(
        {.rows = channels(sums.outputs),
         .columns = round_up(channels(sums.inputs), lanes<float>),
         .depth = tiles.last - tiles.first,
         .scalars = output.place(tiles.first, 0).data + product * output.stride,
         .scalar_panel = kTileRows,
         .scalar_row = 1,
         .scalar_depth = output.row,
         .vectors = input.place(tiles.first, sums.inputs.first).data + product * input.stride,
         .vector_panel = input.panel,
         .vector_depth = input.row,
         .start = is_start ? nullptr : to,
         .start_panel = kInputPanel,
         .start_row = sums.row,
         .sums = to,
         .sums_row = sums.row,
         .ahead = ahead});
  }
};

// Sums to the filters' gradient: G^T M G, summed over the segments.
template <class Scheme, class T>
class FilterGradient {
 public:
  static constexpr int64_t kLanes = lanes<float>;
  static constexpr int kTaps = Scheme::kTaps, kFilters = Scheme::kFilters;

  // The filters of one output channel.
  static void write(const ProductSums& sums, int64_t segments, int64_t output,
                    const Conv2dShape& shape, T* weight) {
    const float* from = sums.data + (output - sums.outputs.first) * sums.row;
    for (int64_t c = sums.inputs.first; c < sums.inputs.last; c += kLanes, from += kLanes) {
      float taps[kTaps * kTaps * kLanes];
      transform(sums, segments, from, taps);
      scatter_lanes(taps, kLanes, weight + (output * shape.in_channels + c) * kTaps * kTaps, 1,
                    kTaps * kTaps, smaller(kLanes, sums.inputs.last - c), kTaps * kTaps);
    }
  }

 private:
  static void transform(const ProductSums& sums, int64_t segments, const float* from, float* taps) {
    WinogradVector halfway[kTaps][kFilters];
    for (int j = 0; j < kFilters; ++j) {
      WinogradVector m[kFilters], w[kTaps];
#pragma GCC unroll 16
      for (int i = 0; i < kFilters; ++i)
        m[i] = over_segments(sums, segments, from + (i * kFilters + j) * sums.filter);
      Scheme::filter_gradient(m, w);
#pragma GCC unroll 16
      for (int r = 0; r < kTaps; ++r) halfway[r][j] = w[r];
    }
    for (int r = 0; r < kTaps; ++r) {
      WinogradVector w[kTaps];
      Scheme::filter_gradient(halfway[r], w);
#pragma GCC unroll 16
      for (int s = 0; s < kTaps; ++s) store(taps + (r * kTaps + s) * kLanes, w[s]);
    }
  }

  CNNOPS_INLINE static WinogradVector over_segments(const ProductSums& sums, int64_t segments,
                                                    const float* from) {
    WinogradVector sum = load(from);
    for (int64_t segment = 1; segment < segments; ++segment)
      sum += load(from + segment * sums.segment);
    return sum;
  }
};

}  // namespace cnnops::CNNOPS_TARGET
