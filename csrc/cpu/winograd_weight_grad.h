// Winograd weight gradient, the transpose of the forward pass:
//
//   grad_weight = G^T [sum over tiles of (A d A^T) * (B^T x B)] G
//
// with tiles x of the input and d of grad_output. Tiles are taken in chunks: a chunk is transformed,
// then multiplied, one matrix product for each pair of the scheme's filters. Threads share each of
// these steps, and there are three ways to hold the sums:
//
//   blocks    tiles are few and sums many: all tiles are one chunk, and a task multiplies a block of
//             channels and transforms its sums at once
//   segments  channels are few: tiles are cut into segments, each with sums of its own. One thread
//             takes all steps of a segment, whose factors never leave its cache, unless segments
//             are too few for the threads, who share every step then
//   chunks    otherwise the sums of all channels stay in memory until the last chunk
//
// Sums run over the tiles, and then over the segments, in order, whoever computes them.
#pragma once

#include "winograd_weight_products.h"

namespace cnnops::CNNOPS_TARGET {

// Bytes of the factors of a chunk, if they are more than those of the sums, which are read and
// written once a chunk; and its least tiles.
inline constexpr int64_t kChunkBytes = 512 << 10, kChunkTiles = 64;

// The most segments, a power of two, and bytes of all their sums. A segment has kSegmentTiles at
// least, and so many that its factors are kFactorsOfSums times its sums, which another thread reads.
inline constexpr int64_t kSegments = 16, kSegmentsBytes = 2 << 20, kSegmentTiles = 64,
                         kFactorsOfSums = 2;

// Threads that the steps of a chunk keep busy.
inline constexpr int64_t kStepThreads = 8;

// Bytes of sums that are many. Tiles are few if their factors have at most twice as many.
inline constexpr int64_t kManySums = 1 << 20;

// Tiles that a task transforms.
inline constexpr int64_t kTransformTiles = 32;

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
    const int64_t least = larger(kSegmentTiles, divide_up(kFactorsOfSums * sums, factors));
    int64_t most = kSegments;
    while (most > 1 && (most * sums > kSegmentsBytes || most * least > tiles_)) most /= 2;
    segment_ = divide_up(tiles_, most);
    segments_ = tiles_ == 0 ? 1 : divide_up(tiles_, segment_);
    in_blocks_ = tiles_ == 0 || (sums > kManySums && tiles_ * factors <= 2 * sums);
    chunk_ = larger(kChunkTiles, larger(kChunkBytes, sums) / factors);
    chunk_ = in_blocks_ ? tiles_ : smaller(segment_, chunk_);
  }

  int64_t workspace(int64_t threads) const {
    Arena arena;
    if (in_blocks_) {
      take_factors(arena);
      return workspace_bytes(arena, threads, [&](Arena& own) { return BlockScratch(*this, own); });
    }
    take_sums(segments_, arena);
    if (takes_segments(threads)) {
      return workspace_bytes(arena, threads,
                             [&](Arena& own) { return SegmentScratch(*this, own); });
    }
    take_factors(arena);
    return workspace_bytes(arena, threads, [&](Arena& own) { return Transforms(*this, own); });
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
  using Factors = ProductFactors<Scheme>;

  bool takes_segments(int64_t threads) const {
    return segments_ > 1 && segments_ >= smaller(threads, kStepThreads);
  }

  static constexpr ProductOrder<Scheme> kOrder{};

  struct Grids {
    TileGrid input, output;
  };
  static TileGrid gradient_grid(const Conv2dShape& shape) {
    return {gradient_axis(shape.output.h), gradient_axis(shape.output.w)};
  }
  static TileAxis gradient_axis(int64_t samples) {
    return tile_axis<GradientSide<Scheme>>(samples, 0, samples, 0);
  }

  ProductSums take_sums(int64_t segments, Arena& arena) const {
    return ProductSums::take<Scheme>({0, shape_.out_channels}, {0, shape_.in_channels}, segments,
                                     arena);
  }
  Factors take_factors(Arena& arena) const { return Factors(shape_, chunk_, arena); }

  struct Transforms {
    SourceTransform<Scheme, T> input;
    SourceTransform<GradientSide<Scheme>, T> output;

    Transforms(const WinogradWeightGrad& call, Arena& arena)
        : input(smaller(call.chunk_, call.grid_.input.w.tiles), arena),
          output(smaller(call.chunk_, call.grid_.input.w.tiles), arena) {}
  };

  // ---- blocks of channels ----

  struct BlockScratch {
    Transforms transforms;
    ProductSums sums;

    BlockScratch(const WinogradWeightGrad& call, Arena& arena)
        : transforms(call, arena),
          sums(ProductSums::take<Scheme>({0, kOutputPanel}, {0, kInputPanel}, 1, arena)) {}
  };

  void run_blocks(const Execution& execution) const {
    Arena arena(execution.workspace);
    const Factors factors = take_factors(arena);
    const ScratchBySlot scratch(execution, arena,
                                [&](Arena& own) { return BlockScratch(*this, own); });
    const TileBlock all(grid_.input, {0, tiles_});
    transform(all, factors, execution, [&](int64_t slot) { return scratch(slot).transforms; });
    const int64_t blocks = divide_up(shape_.out_channels, kOutputPanel);
    const int64_t panels = divide_up(shape_.in_channels, kInputPanel);
    parallel(execution, panels * blocks, [&](int64_t task, int64_t slot) {
      const int64_t c = task / blocks * kInputPanel;
      const Range outputs = block_of_outputs(task % blocks);
      const ProductSums sums =
          scratch(slot).sums.with(outputs, {c, smaller(shape_.in_channels, c + kInputPanel)});
      for (int64_t position = 0; position < kOrder.kCount;) {
        const int64_t next = kOrder.next_filter(position);
        factors.multiply_step({position, outputs}, {next, outputs}, all, true, sums);
        position = next;
      }
      for (int64_t k = outputs.first; k < outputs.last; ++k) write_filter(sums, k);
    });
  }

  // ---- segments of tiles ----

  struct SegmentScratch {
    Factors factors;
    Transforms transforms;

    SegmentScratch(const WinogradWeightGrad& call, Arena& arena)
        : factors(call.take_factors(arena)), transforms(call, arena) {}
  };

  void run_segments(const Execution& execution) const {
    Arena arena(execution.workspace);
    const ProductSums sums = take_sums(segments_, arena);
    const ScratchBySlot scratch(execution, arena,
                                [&](Arena& own) { return SegmentScratch(*this, own); });
    parallel(execution, segments_, [&](int64_t segment, int64_t slot) {
      const SegmentScratch own = scratch(slot);
      add_tiles(segment_tiles(segment), sums.of(segment), own.factors, kOnOneThread,
                [&](int64_t) { return own.transforms; });
    });
    write_filters(sums, execution);
  }

  // ---- chunks of tiles ----

  void run_chunks(const Execution& execution) const {
    Arena arena(execution.workspace);
    const ProductSums sums = take_sums(segments_, arena);
    const Factors factors = take_factors(arena);
    const ScratchBySlot transforms(execution, arena,
                                   [&](Arena& own) { return Transforms(*this, own); });
    for (int64_t segment = 0; segment < segments_; ++segment)
      add_tiles(segment_tiles(segment), sums.of(segment), factors, execution, transforms);
    write_filters(sums, execution);
  }

  Range segment_tiles(int64_t segment) const {
    return {segment * segment_, smaller(tiles_, (segment + 1) * segment_)};
  }

  // The products of one segment's tiles, a chunk at a time. Filters have different numbers of
  // products: there is a task for each, so that threads get about equally many, and the first of a
  // filter does them all.
  template <class TransformsOf>
  void add_tiles(const Range& tiles, const ProductSums& sums, const Factors& factors,
                 const Execution& execution, const TransformsOf& transforms) const {
    const int64_t blocks = divide_up(shape_.out_channels, kOutputPanel);
    for (int64_t first = tiles.first; first < tiles.last; first += chunk_) {
      const TileBlock chunk(grid_.input, {first, smaller(tiles.last, first + chunk_)});
      transform(chunk, factors, execution, transforms);
      parallel(execution, kOrder.kCount * blocks, [&](int64_t task, int64_t) {
        const int64_t position = task / blocks, block = task % blocks;
        if (!kOrder.starts_filter(position)) return;
        const int64_t next = block + 1 < blocks ? position : kOrder.next_filter(position);
        factors.multiply_step({position, block_of_outputs(block)},
                              {next, block_of_outputs((block + 1) % blocks)}, chunk,
                              first == tiles.first, sums);
      });
    }
  }

  // ---- the stages ----

  Range block_of_outputs(int64_t block) const {
    const int64_t first = block * kOutputPanel;
    return {first, smaller(shape_.out_channels, first + kOutputPanel)};
  }

  template <class TransformsOf>
  void transform(const TileBlock& block, const Factors& factors, const Execution& execution,
                 const TransformsOf& transforms) const {
    const Range& tiles = block.tiles();
    const int64_t inputs = divide_up(shape_.in_channels, kInputPanel),
                  outputs = divide_up(shape_.out_channels, kInputPanel);
    const int64_t parts = divide_up(tiles.last - tiles.first, kTransformTiles);
    parallel(execution, parts * (inputs + outputs), [&](int64_t task, int64_t slot) {
      const int64_t side = task % (inputs + outputs);
      const int64_t tile = tiles.first + task / (inputs + outputs) * kTransformTiles;
      const Range part{tile, smaller(tiles.last, tile + kTransformTiles)};
      if (side < inputs) {
        transform_side(transforms(slot).input, tensors_.input, shape_.in_channels,
                       side * kInputPanel, grid_.input, block, part, factors.input);
      } else {
        transform_side(transforms(slot).output, tensors_.output, shape_.out_channels,
                       (side - inputs) * kInputPanel, grid_.output, block, part, factors.output);
      }
    });
  }

  // kInputPanel channels from `first` on, of some tiles of a block.
  template <class Transform, class Panels>
  static void transform_side(const Transform& transform, const MutableTensor& tensor,
                             int64_t channels, int64_t first, const TileGrid& grid,
                             const TileBlock& block, const Range& tiles, const Panels& panels) {
    const T* data = static_cast<const T*>(tensor.data);
    const Strides4& stride = tensor.stride;
    const int64_t last = smaller(channels, first + kInputPanel);
    block.for_each_strip(tiles, [&](const TileStrip& strip) {
      for (int64_t c = first; c < last; c += kLineChannels) {
        transform.run({data + strip.image * stride.n + c * stride.c, stride},
                      smaller(kLineChannels, last - c), grid, strip, panels.place(0, c));
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
