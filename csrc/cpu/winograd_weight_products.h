// Products of the Winograd weight gradient: sums of matrix products over tiles, one for each pair of
// the scheme's filters, and the filters' gradient that they are transformed to.
#pragma once

#include "gemm_tile.h"
#include "winograd_filter.h"
#include "winograd_result.h"

namespace cnnops::CNNOPS_TARGET {

// Tiles whose products are summed in registers, if the scheme allows so many: their factors in one
// panel of either side fit the L1 cache.
inline constexpr int64_t kWeightGradDepth = 128;

// Register tiles have kTileRows output channels and kTileColumns input channels; panels of factors
// as many or more.
inline constexpr int64_t kOutputPanel = 48, kInputPanel = kTileColumns<float>;
static_assert(kOutputPanel % kTileRows == 0 && kOutputPanel % lanes<float> == 0);

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
  // Where the next filter's products start, or kCount.
  constexpr int64_t next_filter(int64_t position) const {
    do {
      ++position;
    } while (position < kCount && !starts_filter(position));
    return position;
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
};

// The factors of a chunk of tiles.
template <class Scheme>
struct ProductFactors {
  FactorPanels<kInputPanel> input;
  FactorPanels<kOutputPanel> output;

  ProductFactors(const Conv2dShape& shape, int64_t tiles, Arena& arena)
      : input(FactorPanels<kInputPanel>::template take<Scheme>(tiles, shape.in_channels, arena)),
        output(
            FactorPanels<kOutputPanel>::template take<Scheme>(tiles, shape.out_channels, arena)) {}

  // Products of one filter, from its first position on, and the output channels of one panel.
  struct Step {
    int64_t position;
    Range outputs;
  };

  // Sets, or adds to, the step's sums for all tiles of a block, and fetches what `next` starts with.
  void multiply_step(const Step& step, const Step& next, const TileBlock& block, bool is_first,
                     const ProductSums& sums) const {
    const int64_t end = kOrder.next_filter(step.position);
    bool is_start = is_first;
    for (int64_t position = step.position; position < end; ++position) {
      const Range slots = slots_of(position, block);
      Range part = first_part(slots);
      do {
        Ahead ahead;
        if (part.last < slots.last) {
          add_factors({position, step.outputs}, first_part({part.last, slots.last}), sums, ahead);
        } else if (position + 1 < end) {
          add_factors({position + 1, step.outputs}, first_part(slots_of(position + 1, block)), sums,
                      ahead);
        } else if (next.position < kOrder.kCount) {
          if (!is_first) ahead.add(sums_of(next, sums), channels(next.outputs) * sums.row);
          add_factors(next, first_part(slots_of(next.position, block)), sums, ahead);
        }
        multiply_part({position, step.outputs}, part, is_start, sums, ahead);
        is_start = false;
        part = first_part({part.last, slots.last});
      } while (part.first < part.last);
    }
  }

  static constexpr ProductOrder<Scheme> kOrder{};

 private:
  static Range slots_of(int64_t position, const TileBlock& block) {
    return block.with_product<Scheme>(kOrder.product[position]);
  }
  static Range first_part(const Range& slots) {
    constexpr int64_t kDepth = smaller<int64_t>(kWeightGradDepth, Scheme::kDepth);
    return {slots.first, smaller(slots.last, slots.first + kDepth)};
  }
  static int64_t channels(const Range& range) { return range.last - range.first; }

  static float* sums_of(const Step& step, const ProductSums& sums) {
    return sums.data + kOrder.filter[step.position] * sums.filter +
           (step.outputs.first - sums.outputs.first) * sums.row;
  }

  void add_factors(const Step& step, const Range& tiles, const ProductSums& sums,
                   Ahead& ahead) const {
    const int64_t product = kOrder.product[step.position], count = tiles.last - tiles.first;
    ahead.add(output.place(tiles.first, step.outputs.first).data + product * output.stride,
              count * output.row);
    for (int64_t c = sums.inputs.first; c < sums.inputs.last; c += kInputPanel)
      ahead.add(input.place(tiles.first, c).data + product * input.stride, count * input.row);
  }

  void multiply_part(const Step& step, const Range& tiles, bool is_start, const ProductSums& sums,
                     const Ahead& ahead) const {
    const int64_t product = kOrder.product[step.position];
    float* const to = sums_of(step, sums);
    multiply<float>(
        {.rows = channels(step.outputs),
         .columns = round_up(channels(sums.inputs), lanes<float>),
         .depth = tiles.last - tiles.first,
         .scalars = output.place(tiles.first, step.outputs.first).data + product * output.stride,
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
