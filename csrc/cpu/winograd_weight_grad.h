// Winograd weight gradient, the transpose of the forward pass:
//
//   grad_weight = G^T [sum over tiles of (A d A^T) * (B^T x B)] G
//
// with tiles x of the input and d of grad_output. Tiles are taken in chunks: all channels of the
// input are transformed, then some of grad_output and multiplied at once, one matrix product for
// each pair of the scheme's filters, so that these factors, which the next ones replace, stay in the
// L2 cache. Threads share each of the two steps, and there are three ways to hold the sums:
//
//   blocks    tiles are few and sums many: all tiles are one chunk, and a task transforms the sums of
//             its output channels at once
//   segments  sums are few: tiles are cut into segments, each with sums of its own. One thread takes
//             all steps of a segment, unless segments are too few for the threads, who share every
//             step then
//   chunks    otherwise the sums of all channels stay in memory until the last chunk
//
// Sums run over the tiles, and then over the segments, in order, whoever computes them.
#pragma once

#include "winograd_weight_products.h"

namespace cnnops::CNNOPS_TARGET {

// Bytes of the factors of a chunk, and the tiles it has a multiple of, if the products' depth allows
// so many.
inline constexpr int64_t kChunkBytes = 512 << 10, kChunkTiles = 64;

// The most segments, a power of two, and bytes of all their sums, which are more if there are only
// two. A segment has kSegmentTiles at least, and so many that its factors are kFactorsOfSums times its
// sums, which another thread reads.
inline constexpr int64_t kSegments = 16, kSegmentsBytes = 2 << 20, kTwoSegmentsBytes = 20 << 20,
                         kSegmentTiles = 64, kFactorsOfSums = 2;

// Threads that the steps of a chunk keep busy.
inline constexpr int64_t kStepThreads = 8;

// Bytes of sums that are many. Tiles are few if their factors have at most twice as many.
inline constexpr int64_t kManySums = 1 << 20;

// The factors of grad_output: A d A^T.
template <class Scheme>
struct GradientSide {
  static constexpr int kResults = Scheme::kResults;
  static constexpr int kSamples = kResults, kSourceStep = kResults;
  static constexpr int kProducts = Scheme::kProducts, kParts = Scheme::kParts;

  static constexpr bool is_of_last_part(int product) { return Scheme::is_of_last_part(product); }
  CNNOPS_INLINE static void source(const WinogradVector* d, WinogradVector* t) {
    Scheme::gradient(d, t);
  }
};

template <class Scheme, class T>
class WinogradWeightGrad {
 public:
  WinogradWeightGrad(const Conv2dShape& shape, const Conv2dTensors& tensors)
      : shape_(shape),
        tensors_(tensors),
        grid_{forward_grid<Scheme>(shape), gradient_grid(shape)},
        tiles_(shape.batch * grid_.input.tiles()) {
    Arena measure;
    const int64_t sums = take_sums(1, measure).bytes();
    const int64_t factors = kWinogradProducts<Scheme> * (shape.in_channels + shape.out_channels) *
                            int64_t(sizeof(float));
    in_blocks_ = tiles_ == 0 || (sums > kManySums && tiles_ * factors <= 2 * sums);
    segment_ = in_blocks_ ? tiles_ : divide_up(tiles_, most_segments(sums, factors));
    segments_ = in_blocks_ ? 1 : divide_up(tiles_, segment_);
    chunk_ = in_blocks_ ? tiles_ : smaller(segment_, chunk_tiles(factors));
  }

  int64_t workspace(int64_t threads) const {
    Arena arena;
    if (in_blocks_) {
      take_inputs(arena);
      return workspace_bytes(arena, threads, [&](Arena& own) { return BlockScratch(*this, own); });
    }
    take_sums(segments_, arena);
    if (takes_segments(threads)) {
      return workspace_bytes(arena, threads,
                             [&](Arena& own) { return SegmentScratch(*this, own); });
    }
    take_inputs(arena);
    return workspace_bytes(arena, threads, [&](Arena& own) { return Scratch(*this, own); });
  }

  void run(const Execution& execution) const {
    if (in_blocks_) {
      run_blocks(execution);
    } else if (takes_segments(execution.threads)) {
      run_segments(execution);
    } else {
      run_chunks(execution);
    }
  }

 private:
  using Inputs = FactorPanels<kInputPanel>;

  // By the bytes of one segment's sums and of one tile's factors.
  int64_t most_segments(int64_t sums, int64_t factors) const {
    const int64_t tiles = larger(kSegmentTiles, divide_up(kFactorsOfSums * sums, factors));
    const auto are_too_many = [&](int64_t segments) {
      const int64_t bytes = segments == 2 ? kTwoSegmentsBytes : kSegmentsBytes;
      return segments * sums > bytes || segments * tiles > tiles_;
    };
    int64_t most = kSegments;
    while (most > 1 && are_too_many(most)) most /= 2;
    return most;
  }
  static int64_t chunk_tiles(int64_t factors) {
    const int64_t step = smaller(kChunkTiles, Scheme::kTileDepth);
    return larger<int64_t>(1, (kChunkBytes / factors + step / 2) / step) * step;
  }

  struct Grids {
    TileGrid input, output;
  };
  static TileGrid gradient_grid(const Conv2dShape& shape) {
    return {gradient_axis(shape.output.h), gradient_axis(shape.output.w)};
  }
  static TileAxis gradient_axis(int64_t samples) {
    return tile_axis<GradientSide<Scheme>>(samples, 0, samples, 0);
  }

  bool takes_segments(int64_t threads) const { return segments_ >= smaller(threads, kStepThreads); }
  ProductSums take_sums(int64_t segments, Arena& arena) const {
    return ProductSums::take<Scheme>({0, shape_.out_channels}, {0, shape_.in_channels}, segments,
                                     arena);
  }
  Inputs take_inputs(Arena& arena) const {
    return Inputs::template take<Scheme>(chunk_, shape_.in_channels, arena);
  }

  // Of a thread.
  struct Scratch {
    SourceTransform<Scheme, T> input;
    SourceTransform<GradientSide<Scheme>, T> output;
    FactorPanels<kOutputPanel> outputs;

    Scratch(const WinogradWeightGrad& call, Arena& arena)
        : input(smaller(call.chunk_, call.grid_.input.w.tiles), arena),
          output(smaller(call.chunk_, call.grid_.input.w.tiles), arena),
          outputs(FactorPanels<kOutputPanel>::template take<Scheme>(
              call.chunk_, smaller(kOutputPanel, call.shape_.out_channels), arena)) {}
  };

  // ---- blocks of channels ----

  struct BlockScratch : Scratch {
    ProductSums sums;

    BlockScratch(const WinogradWeightGrad& call, Arena& arena)
        : Scratch(call, arena),
          sums(ProductSums::take<Scheme>({0, kOutputPanel}, {0, kInputPanel}, 1, arena)) {}
  };

  void run_blocks(const Execution& execution) const {
    Arena arena(execution.workspace);
    const Inputs inputs = take_inputs(arena);
    const ScratchBySlot scratch(execution, arena,
                                [&](Arena& own) { return BlockScratch(*this, own); });
    const TileBlock all(grid_.input, {0, tiles_});
    transform_inputs(all, inputs, execution, scratch);
    for_each_block(execution, [&](const Range& outputs, int64_t slot) {
      const BlockScratch own = scratch(slot);
      transform_outputs(all, outputs, own);
      for (int64_t c = 0; c < shape_.in_channels; c += kInputPanel) {
        const ProductSums sums =
            own.sums.with(outputs, {c, smaller(shape_.in_channels, c + kInputPanel)});
        ProductFactors<Scheme>{inputs, own.outputs}.multiply_block(all, true, sums);
        for (int64_t k = outputs.first; k < outputs.last; ++k) write_filter(sums, k);
      }
    });
  }

  // ---- segments of tiles ----

  struct SegmentScratch : Scratch {
    Inputs inputs;

    SegmentScratch(const WinogradWeightGrad& call, Arena& arena)
        : Scratch(call, arena), inputs(call.take_inputs(arena)) {}
  };

  void run_segments(const Execution& execution) const {
    Arena arena(execution.workspace);
    const ProductSums sums = take_sums(segments_, arena);
    const ScratchBySlot scratch(execution, arena,
                                [&](Arena& own) { return SegmentScratch(*this, own); });
    parallel(execution, segments_, [&](int64_t segment, int64_t slot) {
      const SegmentScratch own = scratch(slot);
      add_tiles(segment_tiles(segment), sums.of(segment), own.inputs, kOnOneThread,
                [&](int64_t) -> const Scratch& { return own; });
    });
    write_filters(sums, execution);
  }

  // ---- chunks of tiles ----

  void run_chunks(const Execution& execution) const {
    Arena arena(execution.workspace);
    const ProductSums sums = take_sums(segments_, arena);
    const Inputs inputs = take_inputs(arena);
    const ScratchBySlot scratch(execution, arena, [&](Arena& own) { return Scratch(*this, own); });
    for (int64_t segment = 0; segment < segments_; ++segment)
      add_tiles(segment_tiles(segment), sums.of(segment), inputs, execution, scratch);
    write_filters(sums, execution);
  }

  Range segment_tiles(int64_t segment) const {
    return {segment * segment_, smaller(tiles_, (segment + 1) * segment_)};
  }

  // The products of one segment's tiles, a chunk at a time.
  template <class ScratchOf>
  void add_tiles(const Range& tiles, const ProductSums& sums, const Inputs& inputs,
                 const Execution& execution, const ScratchOf& scratch) const {
    for (int64_t first = tiles.first; first < tiles.last; first += chunk_) {
      const TileBlock chunk(grid_.input, {first, smaller(tiles.last, first + chunk_)});
      transform_inputs(chunk, inputs, execution, scratch);
      for_each_block(execution, [&](const Range& outputs, int64_t slot) {
        const Scratch& own = scratch(slot);
        transform_outputs(chunk, outputs, own);
        ProductFactors<Scheme>{inputs, own.outputs}.multiply_block(chunk, first == tiles.first,
                                                                   sums.part(outputs));
      });
    }
  }

  // ---- the stages ----

  // body(output channels, slot) for blocks of at most kOutputPanel channels.
  template <class Body>
  void for_each_block(const Execution& execution, Body body) const {
    const int64_t channels = shape_.out_channels, width = block_width(execution.threads);
    parallel(execution, divide_up(channels, width), [&](int64_t block, int64_t slot) {
      body(Range{block * width, smaller(channels, (block + 1) * width)}, slot);
    });
  }
  // As wide as leaves the busiest thread the fewest channels.
  int64_t block_width(int64_t threads) const {
    int64_t best = kOutputPanel;
    for (int64_t width = best - kLineChannels; width > 0; width -= kLineChannels) {
      if (most_channels(width, threads) < most_channels(best, threads)) best = width;
    }
    return best;
  }
  int64_t most_channels(int64_t width, int64_t threads) const {
    const int64_t blocks = divide_up(shape_.out_channels, width);
    return smaller(shape_.out_channels, divide_up(blocks, threads) * width);
  }

  template <class ScratchOf>
  void transform_inputs(const TileBlock& block, const Inputs& inputs, const Execution& execution,
                        const ScratchOf& scratch) const {
    const Range& tiles = block.tiles();
    const int64_t panels = divide_up(shape_.in_channels, kInputPanel);
    const int64_t parts = divide_up(execution.threads, panels);
    const int64_t part = divide_up(tiles.last - tiles.first, parts);
    parallel(execution, parts * panels, [&](int64_t task, int64_t slot) {
      const int64_t first = tiles.first + task / panels * part;
      const Range some{smaller(first, tiles.last), smaller(tiles.last, first + part)};
      const int64_t c = task % panels * kInputPanel;
      const Range channels{c, smaller(shape_.in_channels, c + kInputPanel)};
      transform_side(scratch(slot).input, tensors_.input, channels, grid_.input, block, some,
                     inputs.place(0, c));
    });
  }

  void transform_outputs(const TileBlock& block, const Range& channels,
                         const Scratch& scratch) const {
    transform_side(scratch.output, tensors_.output, channels, grid_.output, block, block.tiles(),
                   scratch.outputs.place(0, 0));
  }

  // Some channels, of one panel, of some tiles of a block.
  template <class Transform>
  static void transform_side(const Transform& transform, const MutableTensor& tensor,
                             const Range& channels, const TileGrid& grid, const TileBlock& block,
                             const Range& tiles, FactorPlace to) {
    const T* data = static_cast<const T*>(tensor.data);
    const Strides4& stride = tensor.stride;
    block.for_each_strip(tiles, [&](const TileStrip& strip) {
      FactorPlace place = to;
      for (int64_t c = channels.first; c < channels.last; c += kLineChannels) {
        transform.run({data + strip.image * stride.n + c * stride.c, stride},
                      smaller(kLineChannels, channels.last - c), grid, strip, place);
        place.data += kLineChannels;
      }
    });
  }

  void write_filters(const ProductSums& sums, const Execution& execution) const {
    parallel(execution, shape_.out_channels,
             [&](int64_t channel, int64_t) { write_filter(sums, channel); });
  }
  void write_filter(const ProductSums& sums, int64_t channel) const {
    FilterGradient<Scheme, T>::write(sums, segments_, channel, shape_,
                                     static_cast<T*>(tensors_.weight.data));
  }

  const Conv2dShape& shape_;
  const Conv2dTensors& tensors_;
  const Grids grid_;
  const int64_t tiles_;
  int64_t segment_, segments_, chunk_;  // tiles of a segment, segments, tiles of a chunk
  bool in_blocks_;
};

}  // namespace cnnops::CNNOPS_TARGET
