// How a correlation is cut into tasks, and the scratch memory of a task.
//
// A task owns a block of pixels by a block of output channels of one group. Its pixels are a part
// of one map or, where maps are small, a few whole ones: several images then share a tile. That
// changes no bit, since every result is summed over the same terms in the same order wherever in a
// tile it lies.
#pragma once

#include "blocking.h"
#include "gemm_tile.h"
#include "packed_filter.h"
#include "window_rows.h"

namespace cnnops::CNNOPS_TARGET {

// Largest blocks. Patches of a block of depth take at most kBlockPixels * kBlockDepth accumulators, sums
// kBlockPixels * kBlockChannels.
inline constexpr int64_t kBlockPixels = 192, kBlockChannels = 256, kBlockDepth = 256;
// Elements of all of a task's patches up to which they are kept for the tasks of other channels; more are
// gathered anew for each.
inline constexpr int64_t kKeptPatches = 1 << 19;
static_assert(kBlockPixels % kTileRows == 0 && kBlockPixels % kTileColumns<float> == 0);

// Elements between rows of `columns` elements that are read a panel of columns at a time: an odd
// number of cache lines, so that a panel's rows spread over all sets of a cache.
template <class A>
constexpr int64_t row_pitch(int64_t columns) {
  constexpr int64_t kLine = 64 / int64_t(sizeof(A));
  const int64_t whole = (columns + kTileColumns<A> - 1) / kTileColumns<A> * kTileColumns<A>;
  return ((whole + kLine - 1) / kLine | 1) * kLine;
}

// Whether output channels fill vectors and pixels are broadcast: in channels_last, and where a
// contiguous map is too small to fill vectors with pixels. There sums are transposed in the end, so
// that they must be worth it. The bits are the same.
template <class A>
bool has_channel_vectors(const Correlation& lattice, int64_t depth, int64_t produce,
                         bool channels_last) {
  constexpr int64_t kDeep = 64;
  if (channels_last) return true;
  if (lattice.h.step != 1 || lattice.w.step != 1 || depth < kDeep) return false;
  const int64_t pixels = lattice.h.count * lattice.w.count;
  return 5 * round_up(pixels, lanes<A>) * produce > 6 * pixels * round_up(produce, lanes<A>);
}

// Whether patches are read in padded copies of rows: where a row of a window is a run of samples that
// neighbours share, and rows of pixels fill a tile. In contiguous tensors rows are interleaved and
// results transposed: for few channels of small maps or large windows.
CNNOPS_INLINE bool has_window_rows(const Correlation& lattice, int64_t reduce, int64_t produce,
                                   bool channels_last) {
  constexpr int64_t kLeastPixels = 10, kMostPixels = 512, kFewChannels = 8, kSmallMap = 256,
                    kDeepWindow = 256;
  const CorrelationAxis &h = lattice.h, &w = lattice.w;
  if (w.taps == 1 || w.dilation != 1 || w.stride > w.taps || w.taps * reduce > kBlockDepth ||
      w.count < kLeastPixels || w.count > kMostPixels ||
      h.taps > kRowsElements / window_row(w, reduce)) {
    return false;
  }
  return channels_last ||
         (reduce <= kFewChannels && produce >= lanes<float> && h.step == 1 && w.step == 1 &&
          (h.count * w.count <= kSmallMap || h.taps * w.taps * reduce >= kDeepWindow));
}

// Whether the lattice's windows are single samples inside the source.
CNNOPS_INLINE bool reads_single_samples(const Correlation& lattice) {
  const auto single = [](const CorrelationAxis& axis) {
    return axis.taps == 1 && axis.offset >= 0 &&
           axis.offset + (axis.count - 1) * axis.stride < axis.source;
  };
  return single(lattice.h) && single(lattice.w);
}

template <class T>
class CorrelationPlan {
 public:
  using A = Accumulate<T>;

  CorrelationPlan(const CorrelationOperands<T>& operands, const Correlation& lattice,
                  bool channels_last, int64_t threads)
      : map_pixels(lattice.h.count * lattice.w.count),
        depth(operands.reduce * lattice.h.taps * lattice.w.taps),
        window_rows(has_window_rows(lattice, operands.reduce, operands.produce, channels_last)),
        channel_vectors(window_rows ||
                        has_channel_vectors<A>(lattice, depth, operands.produce, channels_last)),
        width(channel_vectors ? kTileColumns<A> : int64_t(kTileRows)),
        pixels(window_rows ? whole_rows(lattice, operands.reduce)
                           : blocking(map_pixels, kBlockPixels,
                                      channel_vectors ? kTileRows : kTileColumns<A>)),
        channels(blocking(operands.produce, kBlockChannels, width)),
        images(blocking(operands.batch, images_of_block(operands, threads), 1)),
        depth_block(window_rows ? whole_rows_of_filter(lattice, operands.reduce)
                                : blocking(depth, kBlockDepth, 1).size),
        keeps_patches(!window_rows && !lie_in_source(lattice, channels_last) &&
                      channels.count > 1 && block_pixels() * depth <= kKeptPatches),
        patches(window_rows ? rows_of_task(lattice, operands.reduce)
                            : block_pixels() * (keeps_patches ? depth : depth_block)),
        tasks(images.count * operands.groups * pixels.count * channels.count) {}

  PackedFilter<A> take_filter(Arena& arena, int64_t groups, int64_t produce) const {
    const int64_t panels = divide_up(produce, width);
    return {depth, depth_block, width, panels, arena.take<A>(groups * panels * depth * width)};
  }
  // Pixels of a task, with room between the rows of scratch memory.
  int64_t block_pixels() const {
    return row_pitch<A>(images.size * smaller(pixels.size, map_pixels));
  }

  int64_t map_pixels, depth;
  bool window_rows, channel_vectors;
  int64_t width;  // of a panel of the filter
  Blocking pixels, channels, images;
  int64_t depth_block;
  bool keeps_patches;  // of all blocks of depth, for the tasks of other channels
  int64_t patches;     // elements of a task's patches, or of the rows that hold them
  int64_t tasks;

 private:
  // Whether rows_in_place finds the patches of a dense source.
  static bool lie_in_source(const Correlation& lattice, bool channels_last) {
    return channels_last && std::is_same_v<T, A> && reads_single_samples(lattice) &&
           lattice.h.stride == 1 && lattice.w.stride == 1;
  }

  // Blocks of whole rows of pixels.
  static Blocking whole_rows(const Correlation& lattice, int64_t reduce) {
    const int64_t share = rows_that_share(lattice.h, window_row(lattice.w, reduce));
    const int64_t most = larger<int64_t>(1, smaller(share, kBlockPixels / lattice.w.count));
    const Blocking rows = blocking(lattice.h.count, most, 1);
    return {rows.size * lattice.w.count, rows.count};
  }
  int64_t rows_of_task(const Correlation& lattice, int64_t reduce) const {
    return window_samples(lattice.h, pixels.size / lattice.w.count) * window_row(lattice.w, reduce);
  }
  static int64_t whole_rows_of_filter(const Correlation& lattice, int64_t reduce) {
    const int64_t row = lattice.w.taps * reduce;
    return blocking(lattice.h.taps, kBlockDepth / row, 1).size * row;
  }

  // As many as fill a block of pixels, but not so many that too few tasks are left, unless a tile's
  // columns need them.
  int64_t images_of_block(const CorrelationOperands<T>& operands, int64_t threads) const {
    constexpr int64_t kTasksOfThread = 4;
    const int64_t most = kBlockPixels / map_pixels, least = kTileColumns<A> / map_pixels;
    const int64_t tasks_of_image = operands.groups * channels.count;
    const int64_t spare = operands.batch * tasks_of_image / (kTasksOfThread * threads);
    return larger<int64_t>(1, smaller(most, larger(least, spare)));
  }
};

// Scratch memory of one thread.
template <class T>
struct CorrelationScratch {
  Accumulate<T>* patches;
  Accumulate<T>* sums;
  Accumulate<T>* bias;
  typename PatchColumns<T>::Segment* segments;

  CorrelationScratch(const CorrelationPlan<T>& plan, Arena& arena)
      : patches(arena.take<Accumulate<T>>(plan.patches)),
        sums(arena.take<Accumulate<T>>(plan.block_pixels() *
                                       round_up(plan.channels.size, kTileColumns<Accumulate<T>>))),
        bias(arena.take<Accumulate<T>>(plan.channels.size * kTileColumns<Accumulate<T>>)),
        segments(arena.take<typename PatchColumns<T>::Segment>(plan.pixels.size)) {}
};

// What one task computes: `pixels` of each of its images, from first_pixel on.
struct CorrelationTask {
  int64_t first_image, images;
  int64_t group;
  int64_t first_pixel, pixels;
  int64_t first_channel, channels;  // within the group
  bool keeps_patches, has_patches;  // has: from the task before, if the same thread ran it

  int64_t all_pixels() const { return images * pixels; }
  PixelBlock block() const { return {first_image, images, first_pixel, pixels}; }
  bool has_pixels_of(const CorrelationTask& other) const {
    return first_image == other.first_image && first_pixel == other.first_pixel;
  }
};

template <class T>
CorrelationTask correlation_task(const CorrelationOperands<T>& operands,
                                 const CorrelationPlan<T>& plan, int64_t index) {
  const int64_t channel_block = index % plan.channels.count;
  const int64_t pixel_block = index / plan.channels.count % plan.pixels.count;
  const int64_t map = index / plan.channels.count / plan.pixels.count;
  const int64_t first_image = map / operands.groups * plan.images.size;
  const int64_t first_pixel = pixel_block * plan.pixels.size,
                first_channel = channel_block * plan.channels.size;
  return {.first_image = first_image,
          .images = smaller(plan.images.size, operands.batch - first_image),
          .group = map % operands.groups,
          .first_pixel = first_pixel,
          .pixels = smaller(plan.pixels.size, plan.map_pixels - first_pixel),
          .first_channel = first_channel,
          .channels = smaller(plan.channels.size, operands.produce - first_channel),
          .keeps_patches = plan.keeps_patches,
          .has_patches = plan.keeps_patches && channel_block > 0};
}

// Offset of a pixel's sample in one channel of the source, where it reads a single one.
CNNOPS_INLINE int64_t source_offset(const Correlation& lattice, const Strides4& stride,
                                    int64_t pixel) {
  const int64_t i = pixel / lattice.w.count, j = pixel % lattice.w.count;
  return (lattice.h.offset + i * lattice.h.stride) * stride.h +
         (lattice.w.offset + j * lattice.w.stride) * stride.w;
}

// The distance of a task's pixels in the source, if each reads a single sample; 0 if it varies.
CNNOPS_INLINE int64_t source_step(const Correlation& lattice, const Strides4& stride,
                                  int64_t images) {
  if (!reads_single_samples(lattice)) return 0;
  return common_step({lattice.w.count, lattice.w.stride * stride.w},
                     {lattice.h.count, lattice.h.stride * stride.h}, {images, stride.n});
}
// rows(pixel, i) at pixel * row + i.
template <class A>
struct PixelRows {
  const A* data;
  int64_t row;
};

// The samples of a block's pixels where they lie, if each pixel reads a single one, its channels are
// contiguous and pixels at one distance; else null.
template <class T>
PixelRows<Accumulate<T>> rows_in_place(const PatchSource<T>& source, const Strides4& stride,
                                       const PixelBlock& block) {
  const int64_t step = stride.c == 1 ? source_step(source.lattice, stride, block.images) : 0;
  const auto* data = accumulators(source.data);
  if (data == nullptr || step == 0) return {nullptr, 0};
  return {data + source_offset(source.lattice, stride, block.first_pixel), step};
}

// The same in the result.
CNNOPS_INLINE int64_t result_step(const Correlation& lattice, const Strides4& stride,
                                  int64_t images) {
  return common_step({lattice.w.count, lattice.w.step * stride.w},
                     {lattice.h.count, lattice.h.step * stride.h}, {images, stride.n});
}

// An image of the task's group, as patches are gathered from it.
template <class T>
PatchSource<T> patch_source(const CorrelationOperands<T>& operands, const Correlation& lattice,
                            const CorrelationTask& task, int64_t image) {
  const Strides4 stride = operands.source_stride;
  return {operands.source + (task.first_image + image) * stride.n +
              task.group * operands.reduce * stride.c,
          stride.c,
          stride.h,
          stride.w,
          operands.reduce,
          lattice};
}

}  // namespace cnnops::CNNOPS_TARGET
