// Winograd weight gradient, the transpose of the forward pass:
//
//   grad_weight = G^T [sum over tiles of (A d A^T) * (B^T x B)] G
//
// with tiles x of the input and d of grad_output. Tiles are taken in chunks: a chunk is transformed,
// then multiplied, one matrix product for each pair of the scheme's filters, whose sums stay in
// memory until the last chunk.
//
// Threads share each of these steps. Where channels are few, tiles are cut into segments instead,
// each with sums of its own, and one thread takes all steps of a segment. Sums run over the tiles,
// and then over the segments, in order, whoever computes them.
#pragma once

#include "gemm_tile.h"
#include "winograd_filter.h"
#include "winograd_result.h"

namespace cnnops::CNNOPS_TARGET {

// Tiles whose products are summed in registers: their factors in one panel of either side fit the
// L1 cache.
inline constexpr int64_t kWeightGradDepth = 128;

// Bytes of the factors of a chunk, if they are more than those of the sums, which are read and
// written once a chunk; and its least tiles.
inline constexpr int64_t kChunkBytes = 512 << 10, kChunkTiles = 64;

// Segments, of kSegmentTiles at least, if the sums of one have so few bytes.
inline constexpr int64_t kSegments = 16, kSegmentTiles = 64, kSegmentBytes = 256 << 10;

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

// Products in the order of their filters: the filter whose products start at a position, or -1.
template <class Scheme>
struct FilterStarts {
  int filter[kWinogradProducts<Scheme>];

  constexpr FilterStarts() : filter{} {
    int position = 0;
    for (int f = 0; f < Scheme::kFilters * Scheme::kFilters; ++f) {
      bool is_first = true;
      for (int i = 0; i < kWinogradProducts<Scheme>; ++i) {
        if (filter_of<Scheme>(i) != f) continue;
        filter[position++] = is_first ? f : -1;
        is_first = false;
      }
    }
  }
};

// The sums of segments' products, [segment][filter][output channel][input channel].
struct ProductSums {
  int64_t row, filter, segment;  // floats from one to the next
  float* data;

  ProductSums of(int64_t index) const { return {row, filter, segment, data + index * segment}; }
};

template <class Scheme, class T>
class WinogradWeightGrad {
 public:
  static constexpr int64_t kLanes = lanes<float>;
  // Register tiles have kTileRows output channels and kTileColumns input channels.
  static constexpr int64_t kRows = 48, kColumns = kTileColumns<float>;
  static_assert(kRows % kTileRows == 0 && kRows % kLanes == 0);
  static constexpr int kFilters = Scheme::kFilters * Scheme::kFilters;
  static constexpr FilterStarts<Scheme> kStarts{};

  WinogradWeightGrad(const Conv2dShape& shape, const Conv2dTensors& tensors)
      : shape_(shape),
        tensors_(tensors),
        grid_{forward_grid<Scheme>(shape), gradient_grid(shape)},
        tiles_(shape.batch * grid_.input.tiles()),
        row_(round_up(shape.in_channels, kLanes)),
        filter_(round_up(shape.out_channels * row_, 1024) + 16) {
    const int64_t sums = kFilters * filter_ * int64_t(sizeof(float));
    segment_ = sums <= kSegmentBytes ? larger(kSegmentTiles, divide_up(tiles_, kSegments)) : tiles_;
    const int64_t factors = kWinogradProducts<Scheme> * (shape.in_channels + shape.out_channels) *
                            int64_t(sizeof(float));
    chunk_ = larger(kChunkTiles, larger(kChunkBytes, sums) / factors);
    chunk_ = smaller(segment_, chunk_);
  }

  int64_t workspace(int64_t threads) const {
    Arena arena;
    take_sums(arena);
    if (segments() > 1)
      return workspace_bytes(arena, threads,
                             [&](Arena& own) { return SegmentScratch(*this, own); });
    const Factors factors(*this, arena);
    return workspace_bytes(arena, threads, [&](Arena& own) { return Transforms(*this, own); });
  }

  void run(const Execution& execution) const {
    Arena arena(execution.workspace);
    const ProductSums sums = take_sums(arena);
    if (segments() > 1) {
      run_segments(sums, execution, arena);
    } else {
      run_together(sums, execution, arena);
    }
    parallel(execution, shape_.out_channels,
             [&](int64_t channel, int64_t) { write_filter(sums, channel); });
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

  // Without tiles there is one segment, too: its sums are zero.
  int64_t segments() const { return tiles_ == 0 ? 1 : divide_up(tiles_, segment_); }

  ProductSums take_sums(Arena& arena) const {
    return {row_, filter_, kFilters * filter_, arena.take<float>(segments() * kFilters * filter_)};
  }

  struct Factors {
    FactorPanels<kColumns> input;
    FactorPanels<kRows> output;

    Factors(const WinogradWeightGrad& call, Arena& arena)
        : input(FactorPanels<kColumns>::template take<Scheme>(call.chunk_, call.shape_.in_channels,
                                                              arena)),
          output(FactorPanels<kRows>::template take<Scheme>(call.chunk_, call.shape_.out_channels,
                                                            arena)) {}
  };

  struct Transforms {
    SourceTransform<Scheme, T> input;
    SourceTransform<GradientSide<Scheme>, T> output;

    Transforms(const WinogradWeightGrad& call, Arena& arena)
        : input(smaller(call.chunk_, call.grid_.input.w.tiles), arena),
          output(smaller(call.chunk_, call.grid_.input.w.tiles), arena) {}
  };

  struct SegmentScratch {
    Factors factors;
    Transforms transforms;

    SegmentScratch(const WinogradWeightGrad& call, Arena& arena)
        : factors(call, arena), transforms(call, arena) {}
  };

  void run_segments(const ProductSums& sums, const Execution& execution, const Arena& arena) const {
    const ScratchBySlot scratch(execution, arena,
                                [&](Arena& own) { return SegmentScratch(*this, own); });
    parallel(execution, segments(), [&](int64_t segment, int64_t slot) {
      const SegmentScratch own = scratch(slot);
      const int64_t first = segment * segment_;
      add_tiles({first, smaller(tiles_, first + segment_)}, sums.of(segment), own.factors,
                kOnOneThread, [&](int64_t) -> const Transforms& { return own.transforms; });
    });
  }

  void run_together(const ProductSums& sums, const Execution& execution, Arena& arena) const {
    const Factors factors(*this, arena);
    const ScratchBySlot transforms(execution, arena,
                                   [&](Arena& own) { return Transforms(*this, own); });
    if (tiles_ == 0) fill_run(sums.data, 0.f, sums.segment);
    add_tiles({0, tiles_}, sums, factors, execution, transforms);
  }

  // The products of one segment's tiles, a chunk at a time. Filters have different numbers of
  // products: there is a task for each, so that threads get about equally many, and the first of a
  // filter does them all.
  template <class TransformsOf>
  void add_tiles(const Range& tiles, const ProductSums& sums, const Factors& factors,
                 const Execution& execution, const TransformsOf& transforms) const {
    const int64_t blocks = divide_up(shape_.out_channels, kRows);
    for (int64_t first = tiles.first; first < tiles.last; first += chunk_) {
      const Range chunk{first, smaller(tiles.last, first + chunk_)};
      transform(chunk, factors, execution, transforms);
      parallel(execution, kWinogradProducts<Scheme> * blocks, [&](int64_t task, int64_t) {
        const int filter = kStarts.filter[task / blocks];
        if (filter < 0) return;
        add_products(filter, task % blocks, chunk.last - chunk.first, first == tiles.first, factors,
                     sums);
      });
    }
  }

  template <class TransformsOf>
  void transform(const Range& tiles, const Factors& factors, const Execution& execution,
                 const TransformsOf& transforms) const {
    const int64_t inputs = divide_up(shape_.in_channels, kColumns),
                  outputs = divide_up(shape_.out_channels, kColumns);
    const int64_t parts = divide_up(tiles.last - tiles.first, kTransformTiles);
    parallel(execution, parts * (inputs + outputs), [&](int64_t task, int64_t slot) {
      const int64_t side = task % (inputs + outputs);
      const int64_t tile = task / (inputs + outputs) * kTransformTiles;
      const Range part{tiles.first + tile,
                       smaller(tiles.last, tiles.first + tile + kTransformTiles)};
      if (side < inputs) {
        transform_side(transforms(slot).input, tensors_.input, shape_.in_channels, side * kColumns,
                       grid_.input, part, tile, factors.input);
      } else {
        transform_side(transforms(slot).output, tensors_.output, shape_.out_channels,
                       (side - inputs) * kColumns, grid_.output, part, tile, factors.output);
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

  // The products of `tiles` tiles with one pair of filters, for kRows output channels.
  void add_products(int filter, int64_t block, int64_t tiles, bool is_first, const Factors& factors,
                    const ProductSums& sums) const {
    float* const to = sums.data + filter * sums.filter + block * kRows * sums.row;
    for (int i = 0; i < kWinogradProducts<Scheme>; ++i) {
      if (filter_of<Scheme>(i) != filter) continue;
      for (int64_t t = 0; t < tiles; t += kWeightGradDepth) {
        multiply_tiles(i, block, {t, smaller(tiles, t + kWeightGradDepth)}, factors,
                       is_first ? nullptr : to, to);
        is_first = false;
      }
    }
  }

  void multiply_tiles(int product, int64_t block, const Range& tiles, const Factors& factors,
                      const float* start, float* sums) const {
    const FactorPanels<kColumns>& input = factors.input;
    const FactorPanels<kRows>& output = factors.output;
    multiply<float>(
        {.rows = smaller(kRows, shape_.out_channels - block * kRows),
         .columns = row_,
         .depth = tiles.last - tiles.first,
         .scalars = output.place(tiles.first, block * kRows).data + product * output.stride,
         .scalar_panel = kTileRows,
         .scalar_row = 1,
         .scalar_depth = output.row,
         .vectors = input.place(tiles.first, 0).data + product * input.stride,
         .vector_panel = input.panel,
         .vector_depth = input.row,
         .start = start,
         .start_panel = kColumns,
         .start_row = row_,
         .sums = sums,
         .sums_row = row_});
  }

  // The filters of one output channel: G^T M G.
  void write_filter(const ProductSums& sums, int64_t channel) const {
    constexpr int kTaps = Scheme::kTaps;
    T* to = static_cast<T*>(tensors_.weight.data) + channel * shape_.in_channels * kTaps * kTaps;
    for (int64_t c = 0; c < shape_.in_channels; c += kLanes) {
      float taps[kTaps * kTaps * kLanes];
      transform_sums(sums, channel * sums.row + c, taps);
      scatter_lanes(taps, kLanes, to + c * kTaps * kTaps, 1, kTaps * kTaps,
                    smaller(kLanes, shape_.in_channels - c), kTaps * kTaps);
    }
  }

  void transform_sums(const ProductSums& sums, int64_t first, float* taps) const {
    constexpr int kTaps = Scheme::kTaps, kSide = Scheme::kFilters;
    WinogradVector halfway[kTaps][kSide];
    for (int j = 0; j < kSide; ++j) {
      WinogradVector m[kSide], w[kTaps];
#pragma GCC unroll 16
      for (int i = 0; i < kSide; ++i) m[i] = sum_of_segments(sums, first, i * kSide + j);
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

  WinogradVector sum_of_segments(const ProductSums& sums, int64_t first, int filter) const {
    const float* from = sums.data + filter * sums.filter + first;
    WinogradVector sum = load(from);
    for (int64_t segment = 1; segment < segments(); ++segment)
      sum += load(from + segment * sums.segment);
    return sum;
  }

  const Conv2dShape& shape_;
  const Conv2dTensors& tensors_;
  const Grids grid_;
  const int64_t tiles_;
  const int64_t row_, filter_;  // of sums, in floats
  int64_t segment_, chunk_;     // in tiles
};

}  // namespace cnnops::CNNOPS_TARGET
