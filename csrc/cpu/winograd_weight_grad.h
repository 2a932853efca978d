// Winograd weight gradient, the transpose of the forward pass:
//
//   grad_weight = G^T [sum over tiles of (A d A^T) * (B^T x B)] G
//
// with tiles x of the input and d of grad_output. Tiles are taken in chunks: all threads transform a
// chunk, then share out the matrix products, one for each pair of the scheme's filters, whose sums
// stay in memory until the last chunk. Sums run over the tiles in order, whoever computes them.
#pragma once

#include "gemm_tile.h"
#include "winograd_filter.h"
#include "winograd_result.h"

namespace cnnops::CNNOPS_TARGET {

// Tiles whose products are summed in registers: their factors in one panel of either side fit the
// L1 cache.
inline constexpr int64_t kWeightGradDepth = 128;

// Bytes of the factors of a chunk, if that leaves kWeightGradDepth tiles.
inline constexpr int64_t kChunkBytes = 1 << 20;

// Tiles that a task transforms.
inline constexpr int64_t kTransformTiles = 32;

// The factors of grad_output: A d A^T.
template <class Scheme>
struct GradientSide {
  static constexpr int kSamples = Scheme::kResults, kSourceStep = Scheme::kResults;
  static constexpr int kProducts = Scheme::kProducts;

  CNNOPS_INLINE static void source(const WinogradVector* d, WinogradVector* t) {
    Scheme::gradient(d, t);
  }
};

// Factors of a chunk of tiles, [product][panel][tile][channel of the panel].
template <int64_t width>
struct FactorPanels {
  static constexpr int64_t kWidth = width;
  int64_t panel, stride;  // floats from one panel, and from one product, to the next
  float* data;

  template <class Scheme>
  static FactorPanels take(int64_t tiles, int64_t channels, Arena& arena) {
    const int64_t panel = tiles * kWidth, panels = divide_up(channels, kWidth);
    const int64_t stride = round_up(panels * panel, 1024) + 16;
    return {panel, stride, arena.take<float>(kWinogradProducts<Scheme> * stride)};
  }
  FactorPlace place(int64_t tile, int64_t channel) const {
    return {data + channel / kWidth * panel + tile * kWidth + channel % kWidth, stride, kWidth};
  }
};

template <class Scheme, class T>
class WinogradWeightGrad {
 public:
  static constexpr int64_t kLanes = lanes<float>;
  // Register tiles have kTileRows output channels and kTileColumns input channels.
  static constexpr int64_t kRows = 48, kColumns = kTileColumns<float>;
  static_assert(kRows % kTileRows == 0 && kRows % kLanes == 0);

  WinogradWeightGrad(const Conv2dShape& shape, const Conv2dTensors& tensors)
      : shape_(shape), tensors_(tensors), grid_{forward_grid<Scheme>(shape), gradient_grid(shape)} {
    const int64_t bytes = kWinogradProducts<Scheme> * (shape.in_channels + shape.out_channels) *
                          int64_t(sizeof(float));
    tiles_ = shape.batch * grid_.input.tiles();
    chunk_ = smaller(tiles_, larger(kWeightGradDepth, kChunkBytes / bytes));
  }

  int64_t workspace(int64_t threads) const {
    Arena arena;
    const Shared shared(*this, arena);
    return workspace_bytes(arena, threads, [&](Arena& own) { return Scratch(*this, own); });
  }

  void run(const Execution& execution) const {
    Arena arena(execution.workspace);
    const Shared shared(*this, arena);
    const ScratchBySlot scratch(execution, arena, [&](Arena& own) { return Scratch(*this, own); });
    if (tiles_ == 0)
      fill_run(shared.sums, 0.f, Scheme::kFilters * Scheme::kFilters * shared.sums_size);
    for (int64_t first = 0; first < tiles_; first += chunk_) {
      const Range tiles{first, smaller(tiles_, first + chunk_)};
      transform(tiles, shared, execution, scratch);
      const int64_t blocks = divide_up(shape_.out_channels, kRows);
      parallel(execution, Scheme::kFilters * Scheme::kFilters * blocks, [&](int64_t task, int64_t) {
        add_products(int(task / blocks), task % blocks, tiles, shared);
      });
    }
    parallel(execution, shape_.out_channels,
             [&](int64_t channel, int64_t) { write_filter(shared, channel); });
  }

 private:
  struct Grids {
    TileGrid input, output;
  };
  static TileGrid gradient_grid(const Conv2dShape& shape) {
    return {gradient_axis(shape.output.h), gradient_axis(shape.output.w)};
  }
  static TileAxis gradient_axis(int64_t samples) {
    return {.tiles = divide_up(samples, Scheme::kResults),
            .source = samples,
            .source_first = 0,
            .source_step = Scheme::kResults,
            .result = 0,
            .result_first = 0,
            .result_step = 0};
  }

  struct Shared {
    FactorPanels<kColumns> input;
    FactorPanels<kRows> output;
    int64_t sums_row, sums_size;  // of one filter: [output channel][input channel]
    float* sums;

    Shared(const WinogradWeightGrad& call, Arena& arena)
        : input(FactorPanels<kColumns>::template take<Scheme>(call.chunk_, call.shape_.in_channels,
                                                              arena)),
          output(FactorPanels<kRows>::template take<Scheme>(call.chunk_, call.shape_.out_channels,
                                                            arena)),
          sums_row(round_up(call.shape_.in_channels, kColumns)),
          sums_size(round_up(call.shape_.out_channels * sums_row, 1024) + 16),
          sums(arena.take<float>(Scheme::kFilters * Scheme::kFilters * sums_size)) {}
  };

  struct Scratch {
    SourceTransform<Scheme, T> input;
    SourceTransform<GradientSide<Scheme>, T> output;

    Scratch(const WinogradWeightGrad& call, Arena& arena)
        : input(smaller(call.chunk_, call.grid_.input.w.tiles), arena),
          output(smaller(call.chunk_, call.grid_.input.w.tiles), arena) {}
  };

  template <class ScratchOf>
  void transform(const Range& tiles, const Shared& shared, const Execution& execution,
                 const ScratchOf& scratch) const {
    const int64_t inputs = divide_up(shape_.in_channels, kColumns),
                  outputs = divide_up(shape_.out_channels, kColumns);
    const int64_t parts = divide_up(tiles.last - tiles.first, kTransformTiles);
    parallel(execution, (inputs + outputs) * parts, [&](int64_t task, int64_t slot) {
      const int64_t side = task / parts, tile = task % parts * kTransformTiles;
      const Range part{tiles.first + tile, smaller(tiles.last, tiles.first + tile + kTransformTiles)};
      if (side < inputs) {
        transform_side(scratch(slot).input, tensors_.input, shape_.in_channels, side * kColumns,
                       grid_.input, part, tile, shared.input);
      } else {
        transform_side(scratch(slot).output, tensors_.output, shape_.out_channels,
                       (side - inputs) * kColumns, grid_.output, part, tile, shared.output);
      }
    });
  }

  // kColumns channels from `first` on. `tile` is the chunk's that the tiles start with.
  template <class Transform, class Panels>
  static void transform_side(const Transform& transform, const MutableTensor& tensor,
                             int64_t channels, int64_t first, const TileGrid& grid,
                             const Range& tiles, int64_t tile, const Panels& panels) {
    const T* data = static_cast<const T*>(tensor.data);
    const Strides4& stride = tensor.stride;
    const int64_t last = smaller(channels, first + kColumns);
    for_each_strip(grid, tiles.first, tiles.last, [&](const TileStrip& strip) {
      for (int64_t c = first; c < last; c += kLineChannels) {
        transform.run({data + strip.image * stride.n + c * stride.c, stride},
                      smaller(kLineChannels, last - c), grid, strip,
                      panels.place(tile + strip.slot, c));
      }
    });
  }

  // The products of one pair of filters, for kRows output channels.
  void add_products(int filter, int64_t block, const Range& tiles, const Shared& shared) const {
    bool is_first = tiles.first == 0;
    for (int i = 0; i < kWinogradProducts<Scheme>; ++i) {
      if (filter_of<Scheme>(i) != filter) continue;
      for (int64_t t = 0; t < tiles.last - tiles.first; t += kWeightGradDepth) {
        const int64_t depth = smaller(kWeightGradDepth, tiles.last - tiles.first - t);
        multiply_tiles(i, filter, block, t, depth, is_first, shared);
        is_first = false;
      }
    }
  }

  void multiply_tiles(int product, int filter, int64_t block, int64_t tile, int64_t depth,
                      bool is_first, const Shared& shared) const {
    float* sums = shared.sums + filter * shared.sums_size + block * kRows * shared.sums_row;
    const FactorPanels<kColumns>& input = shared.input;
    const FactorPanels<kRows>& output = shared.output;
    multiply<float>(
        {.rows = smaller(kRows, shape_.out_channels - block * kRows),
         .columns = round_up(shape_.in_channels, kLanes),
         .depth = depth,
         .scalars = output.data + product * output.stride + block * output.panel + tile * kRows,
         .scalar_panel = kTileRows,
         .scalar_row = 1,
         .scalar_depth = kRows,
         .vectors = input.data + product * input.stride + tile * kColumns,
         .vector_panel = input.panel,
         .vector_depth = kColumns,
         .start = is_first ? nullptr : sums,
         .start_panel = kColumns,
         .start_row = shared.sums_row,
         .sums = sums,
         .sums_row = shared.sums_row});
  }

  // The filters of one output channel: G^T M G.
  void write_filter(const Shared& shared, int64_t channel) const {
    constexpr int kTaps = Scheme::kTaps, kFilters = Scheme::kFilters;
    T* to = static_cast<T*>(tensors_.weight.data) + channel * shape_.in_channels * kTaps * kTaps;
    for (int64_t c = 0; c < shape_.in_channels; c += kLanes) {
      const float* from = shared.sums + channel * shared.sums_row + c;
      WinogradVector halfway[kTaps][kFilters];
      for (int j = 0; j < kFilters; ++j) {
        WinogradVector m[kFilters], w[kTaps];
#pragma GCC unroll 16
        for (int i = 0; i < kFilters; ++i)
          m[i] = load(from + (i * kFilters + j) * shared.sums_size);
        Scheme::filter_gradient(m, w);
#pragma GCC unroll 16
        for (int r = 0; r < kTaps; ++r) halfway[r][j] = w[r];
      }
      float taps[kTaps * kTaps * kLanes];
      for (int r = 0; r < kTaps; ++r) {
        WinogradVector w[kTaps];
        Scheme::filter_gradient(halfway[r], w);
#pragma GCC unroll 16
        for (int s = 0; s < kTaps; ++s) store(taps + (r * kTaps + s) * kLanes, w[s]);
      }
      scatter_lanes(taps, kLanes, to + c * kTaps * kTaps, 1, kTaps * kTaps,
                    smaller(kLanes, shape_.in_channels - c), kTaps * kTaps);
    }
  }

  const Conv2dShape& shape_;
  const Conv2dTensors& tensors_;
  const Grids grid_;
  int64_t tiles_, chunk_;
};

}  // namespace cnnops::CNNOPS_TARGET
