// Winograd convolution, for the forward pass and the input gradient: the samples of tiles are
// transformed, multiplied with the transformed filter, one matrix product for each of the scheme's
// products, and the sums transformed back.
//
// Many tiles are cut into blocks: a task owns a block, with all of its stages in scratch memory, and
// the whole filter is transformed before. Few tiles are transformed before, and a task owns a part
// of the result's channels: the transformed filter, which is larger than anything else then, never
// is in memory as a whole.
//
// A result depends on its own tile alone, and its sums on the order of the channels alone: no cut
// changes a bit.
#pragma once

#include "gemm_tile.h"
#include "winograd_filter.h"
#include "winograd_result.h"

namespace cnnops::CNNOPS_TARGET {

// Tiles that are few, if their blocks are no more tasks than the result's channels make.
inline constexpr int64_t kFewTiles = 256;

// Channels of a block whose products are in memory together: those of the next ones replace them,
// before they have left the L2 cache.
inline constexpr int64_t kResultChannels = 64;
static_assert(kResultChannels % kTileColumns<float> == 0);

// Bytes of a block's factors and products, and its least tiles: each multiplies the whole filter,
// which comes from beyond the L2 cache where channels are many.
inline constexpr int64_t kTileBlockBytes = 512 << 10, kBlockTiles = 4 * kTileRows;

// Result channels of a task if tiles are few, and of a panel of its filter: the register tile is half
// as wide as it could be, for the sake of more tasks.
inline constexpr int64_t kTaskChannels = larger<int64_t>(16, kTileColumns<float> / 2);
inline constexpr int64_t kTaskWidth = smaller<int64_t>(kTaskChannels, kTileColumns<float>);

// Reduced channels of a task that transforms the filter before all blocks.
inline constexpr int64_t kFilterChannels = 8;

// Tiles whose factors are fetched as one piece.
inline constexpr int64_t kFetchedTiles = 64;

// One matrix a product and block of channels, [block][product][tile][channel of the block].
struct TileMatrices {
  int64_t width;               // channels of a block
  int64_t row, stride, block;  // floats from one tile, product and block to the next
  float* data;

  // Neighbouring products start in different sets of a cache.
  template <class Scheme>
  static TileMatrices take(int64_t tiles, int64_t channels, int64_t width, Arena& arena) {
    width = smaller(width, channels);
    const int64_t row = round_up(width, lanes<float>), stride = round_up(tiles * row, 1024) + 16;
    const int64_t block = kWinogradProducts<Scheme> * stride;
    return {width, row, stride, block, arena.take<float>(divide_up(channels, width) * block)};
  }
  float* at(int64_t product, int64_t tile, int64_t channel) const {
    return data + channel / width * block + product * stride + tile * row + channel % width;
  }
};

template <class Scheme, class T>
class WinogradCorrelation {
 public:
  static constexpr int64_t kWidth = kTileColumns<float>;

  WinogradCorrelation(const CorrelationOperands<T>& operands, const TileGrid& grid, bool is_rotated,
                      int64_t threads)
      : operands_(operands),
        grid_(grid),
        filter_transform_(operands.filter, operands.produce, is_rotated),
        tiles_(operands.batch * grid.tiles()),
        panels_(divide_up(operands.produce, kWidth)),
        depth_(equal_depth(operands.reduce)) {
    const int64_t bytes =
        kWinogradProducts<Scheme> * (operands.reduce + result_channels()) * int64_t(sizeof(float));
    block_ = larger(kBlockTiles, kTileBlockBytes / bytes);
    are_few_ = tiles_ <= kFewTiles &&
               divide_up(tiles_, block_) <= divide_up(operands.produce, kTaskChannels);
    // Threads get equally many blocks, of equally many tiles.
    if (tiles_ > 0) block_ = divide_up(tiles_, round_up(divide_up(tiles_, block_), threads));
  }

  int64_t workspace(int64_t threads) const {
    Arena arena;
    if (are_few_) {
      take_factors(tiles_, arena);
      return workspace_bytes(arena, threads, [&](Arena& own) { return FewScratch(*this, own); });
    }
    take_filter(arena);
    return workspace_bytes(arena, threads, [&](Arena& own) { return BlockScratch(*this, own); });
  }

  void run(const Execution& execution) const {
    if (are_few_) {
      run_few(execution);
    } else {
      run_blocks(execution);
    }
  }

 private:
  WinogradFilter take_filter(Arena& arena) const {
    return WinogradFilter::take<Scheme>(operands_.reduce, panels_, kWidth, arena);
  }
  // Blocks of depth are about equally deep.
  static int64_t equal_depth(int64_t reduce) {
    return round_up(divide_up(reduce, divide_up(reduce, Scheme::kDepth)), kLineChannels);
  }
  int64_t result_channels() const { return smaller(kResultChannels, operands_.produce); }
  TileMatrices take_factors(int64_t tiles, Arena& arena) const {
    return TileMatrices::take<Scheme>(tiles, operands_.reduce, depth_, arena);
  }

  // ---- many tiles ----

  struct BlockScratch {
    TileMatrices factors, products;
    SourceTransform<Scheme, T> source;
    ResultTransform<Scheme, T> result;

    BlockScratch(const WinogradCorrelation& call, Arena& arena)
        : factors(call.take_factors(call.block_, arena)),
          products(TileMatrices::take<Scheme>(call.block_, call.result_channels(),
                                              call.result_channels(), arena)),
          source(smaller(call.block_, call.grid_.w.tiles), arena),
          result(smaller(call.block_, call.grid_.w.tiles), arena) {}
  };

  void run_blocks(const Execution& execution) const {
    Arena arena(execution.workspace);
    const WinogradFilter filter = take_filter(arena);
    const int64_t parts = divide_up(operands_.reduce, kFilterChannels);
    parallel(execution, panels_ * parts, [&](int64_t task, int64_t) {
      const int64_t c = task % parts * kFilterChannels, panel = task / parts;
      filter_transform_.run(filter, panel, panel * kWidth,
                            {c, smaller(operands_.reduce, c + kFilterChannels)}, 0);
    });
    const ScratchBySlot scratch(execution, arena,
                                [&](Arena& own) { return BlockScratch(*this, own); });
    parallel(execution, divide_up(tiles_, block_), [&](int64_t index, int64_t slot) {
      const int64_t first = index * block_;
      run_block(filter, {grid_, {first, smaller(tiles_, first + block_)}}, scratch(slot));
    });
  }

  void run_block(const WinogradFilter& filter, const TileBlock& block,
                 const BlockScratch& scratch) const {
    transform_source(block, {0, operands_.reduce}, scratch.source, scratch.factors);
    for (int64_t k = 0; k < operands_.produce; k += kResultChannels) {
      const Range channels{k, smaller(operands_.produce, k + kResultChannels)};
      multiply_channels(filter, block, channels, scratch);
      transform_result(block, channels, scratch.products, scratch.result);
    }
  }

  void multiply_channels(const WinogradFilter& filter, const TileBlock& block,
                         const Range& channels, const BlockScratch& scratch) const {
    const int64_t panel = channels.first / kWidth;
    for (int i = 0; i < kWinogradProducts<Scheme>; ++i) {
      for (int64_t c = 0; c < operands_.reduce; c += depth_) {
        multiply_tiles({i, block.with_product<Scheme>(i), c, channels.last - channels.first},
                       scratch.factors, filter.template part<Scheme>(panel, i, c), scratch.products,
                       filter_ahead(filter, channels, i, c));
      }
    }
  }

  // The panels behind the first one, and the first one that is multiplied next.
  Ahead filter_ahead(const WinogradFilter& filter, const Range& channels, int product,
                     int64_t c) const {
    Ahead ahead;
    const int64_t first = channels.first / kWidth, last = divide_up(channels.last, kWidth);
    const auto add = [&](int64_t panel, int index, int64_t reduce) {
      ahead.add(filter.template part<Scheme>(panel, index, reduce).data,
                depth_from(reduce) * kWidth);
    };
    for (int64_t panel = first + 1; panel < last; ++panel) add(panel, product, c);
    if (c + depth_ < operands_.reduce) {
      add(first, product, c + depth_);
    } else if (product + 1 < kWinogradProducts<Scheme>) {
      add(first, product + 1, 0);
    } else if (last < panels_) {
      add(last, 0, 0);
    }
    return ahead;
  }

  // ---- few tiles ----

  struct FewScratch {
    WinogradFilter filter;  // of depth_ channels
    TileMatrices products;
    SourceTransform<Scheme, T> source;
    ResultTransform<Scheme, T> result;

    FewScratch(const WinogradCorrelation& call, Arena& arena)
        : filter(WinogradFilter::take<Scheme>(call.depth_, kTaskChannels / kTaskWidth, kTaskWidth,
                                              arena)),
          products(TileMatrices::take<Scheme>(call.tiles_, kTaskChannels, kTaskChannels, arena)),
          source(call.grid_.w.tiles, arena),
          result(call.grid_.w.tiles, arena) {}
  };

  void run_few(const Execution& execution) const {
    Arena arena(execution.workspace);
    const TileMatrices factors = take_factors(tiles_, arena);
    const TileBlock block(grid_, {0, tiles_});
    const ScratchBySlot scratch(execution, arena,
                                [&](Arena& own) { return FewScratch(*this, own); });
    parallel(execution, divide_up(operands_.reduce, kLineChannels),
             [&](int64_t task, int64_t slot) {
               const int64_t c = task * kLineChannels;
               transform_source(block, {c, smaller(operands_.reduce, c + kLineChannels)},
                                scratch(slot).source, factors);
             });
    parallel(execution, divide_up(operands_.produce, kTaskChannels),
             [&](int64_t task, int64_t slot) {
               const int64_t k = task * kTaskChannels;
               run_channels({k, smaller(operands_.produce, k + kTaskChannels)}, block, factors,
                            scratch(slot));
             });
  }

  void run_channels(const Range& channels, const TileBlock& block, const TileMatrices& factors,
                    const FewScratch& scratch) const {
    for (int64_t c = 0; c < operands_.reduce; c += depth_) {
      const Range reduce{c, smaller(operands_.reduce, c + depth_)};
      for (int64_t k = channels.first; k < channels.last; k += kTaskWidth) {
        filter_transform_.run(scratch.filter, (k - channels.first) / kTaskWidth, k, reduce, c);
      }
      for (int i = 0; i < kWinogradProducts<Scheme>; ++i) {
        multiply_tiles({i, block.with_product<Scheme>(i), c, channels.last - channels.first},
                       factors, scratch.filter.template part<Scheme>(0, i, 0), scratch.products,
                       factors_ahead(factors, block, i + 1, c));
      }
    }
    transform_result(block, channels, scratch.products, scratch.result);
  }

  // A product's factors, all of which are multiplied next.
  Ahead factors_ahead(const TileMatrices& factors, const TileBlock& block, int product,
                      int64_t c) const {
    Ahead ahead;
    if (product == kWinogradProducts<Scheme>) return ahead;
    const Range slots = block.with_product<Scheme>(product);
    for (int64_t slot = slots.first; slot < slots.last; slot += kFetchedTiles) {
      ahead.add(factors.at(product, slot, c),
                smaller(kFetchedTiles, slots.last - slot) * factors.row);
    }
    return ahead;
  }

  // ---- the stages ----

  void transform_source(const TileBlock& block, const Range& channels,
                        const SourceTransform<Scheme, T>& transform,
                        const TileMatrices& factors) const {
    const Strides4& stride = operands_.source_stride;
    block.for_each_strip(block.tiles(), [&](const TileStrip& strip) {
      for (int64_t c = channels.first; c < channels.last; c += kLineChannels) {
        transform.run({operands_.source + strip.image * stride.n + c * stride.c, stride},
                      smaller(kLineChannels, channels.last - c), grid_, strip,
                      {factors.at(0, 0, c), factors.stride, factors.row});
      }
    });
  }

  // The products of the tiles in some slots by the reduced channels from c on, depth_ of them
  // at most, for `produce` channels of the result.
  struct TileProduct {
    int index;
    Range slots;
    int64_t c, produce;
  };

  int64_t depth_from(int64_t c) const { return smaller(depth_, operands_.reduce - c); }

  // Adds products to those of the channels before c. `filter` starts with their factors.
  void multiply_tiles(const TileProduct& product, const TileMatrices& factors,
                      const WinogradFilter& filter, const TileMatrices& products,
                      const Ahead& ahead) const {
    const int64_t first = product.slots.first;
    if (first == product.slots.last) return;
    float* const sums = products.at(product.index, first, 0);
    multiply<float>({.rows = product.slots.last - first,
                     .columns = round_up(product.produce, lanes<float>),
                     .depth = depth_from(product.c),
                     .scalars = factors.at(product.index, first, product.c),
                     .scalar_panel = kTileRows * factors.row,
                     .scalar_row = factors.row,
                     .scalar_depth = 1,
                     .vectors = filter.data,
                     .vector_panel = filter.panel_stride,
                     .vector_depth = filter.width,
                     .start = product.c == 0 ? nullptr : sums,
                     .start_panel = kWidth,
                     .start_row = products.row,
                     .sums = sums,
                     .sums_row = products.row,
                     .ahead = ahead});
  }

  // `products` starts at the first of the channels.
  void transform_result(const TileBlock& block, const Range& channels, const TileMatrices& products,
                        const ResultTransform<Scheme, T>& transform) const {
    const Strides4& stride = operands_.result_stride;
    block.for_each_strip(block.tiles(), [&](const TileStrip& strip) {
      for (int64_t k = channels.first; k < channels.last; k += kLineChannels) {
        const float* from = products.at(0, 0, k - channels.first);
        transform.run({from, products.stride, products.row},
                      operands_.bias == nullptr ? nullptr : operands_.bias + k, grid_, strip,
                      {operands_.result + strip.image * stride.n + k * stride.c, stride},
                      smaller(kLineChannels, channels.last - k));
      }
    });
  }

  const CorrelationOperands<T>& operands_;
  const TileGrid grid_;
  const FilterTransform<Scheme, T> filter_transform_;
  int64_t tiles_, panels_, depth_, block_;
  bool are_few_;
};

}  // namespace cnnops::CNNOPS_TARGET
