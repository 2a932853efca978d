// The weight gradient as an implicit matrix product:
//
//   grad_weight(k, o) = sum_pixel patch(pixel, k) * grad_output(pixel, o)
//
// A task owns a block of k (filter row, filter column, input channel) by a block of output
// channels, for a run of images; it walks over their pixels in order. The runs of images give
// partial sums, which are added in order at the end: what is summed with what depends on the shape
// alone, never on threads.
//
// channels_last broadcasts patches and has output channels in vectors; contiguous maps have pixels
// in vectors on both sides, whose lanes are added up. Neither transposes anything.
#pragma once

#include "dot_tile.h"
#include "implicit_gemm_correlation.h"

namespace cnnops::CNNOPS_TARGET {

// Images are cut into runs until there are kBatchTasks tasks, as long as a run keeps kRunPixels, so
// that the work on its partial sums is worth their memory, and all partial sums stay below
// kPartialBytes. One run there always is, with sums as large as the weight.
inline constexpr int64_t kRunPixels = 1024, kPartialBytes = 8 << 20;

template <class T>
struct WeightGradOperands {
  Conv2dShape shape;
  Correlation lattice;
  const T* input;
  Strides4 input_stride;
  const T* grad_output;
  Strides4 grad_output_stride;
  T* grad_weight;  // contiguous

  int64_t reduce() const { return shape.in_channels / shape.groups; }
  int64_t produce() const { return shape.out_channels / shape.groups; }
  int64_t depth() const { return reduce() * shape.kernel.h * shape.kernel.w; }
  int64_t pixels() const { return shape.output.h * shape.output.w; }

  // The block of as many pixels or images behind a block, which may lie behind the last image.
  PixelBlock block_behind(const PixelBlock& block) const {
    const int64_t pixel = block.first_pixel + block.pixels;
    if (pixel < pixels())
      return {block.first_image, block.images, pixel, smaller(block.pixels, pixels() - pixel)};
    const int64_t image = block.first_image + block.images;
    return {image, smaller(block.images, shape.batch - image), 0, block.pixels};
  }

  // The lattice of grad_output's own samples.
  Correlation output_lattice() const {
    const auto axis = [](int64_t size) {
      return CorrelationAxis{size, 0, 1, size, 1, 0, 1, 1, 0, 1};
    };
    return {axis(shape.output.h), axis(shape.output.w)};
  }
};

template <class T>
WeightGradOperands<T> weight_grad_operands(const Conv2dProblem& problem,
                                           const Conv2dTensors& tensors) {
  const Lattices lattices = forward_lattices(window_grid(problem.shape));
  return {problem.shape,
          {lattices.rows[0], lattices.columns[0]},
          static_cast<const T*>(tensors.input.data),
          tensors.input.stride,
          static_cast<const T*>(tensors.output.data),
          tensors.output.stride,
          static_cast<T*>(tensors.weight.data)};
}

// Largest blocks of a product, in k, output channels and pixels.
struct WeightGradBlocks {
  int64_t rows, channels, pixels;
};

class WeightGradPlan {
 public:
  template <class T>
  WeightGradPlan(const WeightGradOperands<T>& operands, const WeightGradBlocks& largest)
      : rows(blocking(operands.depth(), largest.rows, kTileRows)),
        channels(blocking(operands.produce(), largest.channels, kTileColumns<Accumulate<T>>)),
        pixels(blocking(operands.pixels(), largest.pixels, 1)),
        images_of_block(larger<int64_t>(1, largest.pixels / operands.pixels())),
        blocks(operands.shape.groups * rows.count * channels.count) {
    const int64_t bytes = blocks * rows.size * channels.size * int64_t(sizeof(Accumulate<T>));
    const int64_t batch = operands.shape.batch;
    const int64_t affordable = kPartialBytes / larger<int64_t>(1, bytes);
    const int64_t worthwhile = smaller(affordable, batch * operands.pixels() / kRunPixels);
    const int64_t wanted = divide_up(kBatchTasks, larger<int64_t>(1, blocks));
    const int64_t runs = larger<int64_t>(1, smaller(worthwhile, wanted));
    images = blocking(larger<int64_t>(1, batch), larger<int64_t>(1, divide_up(batch, runs)), 1);
  }

  // Pixels whose products are summed in registers: a part of one map, or a few small maps.
  int64_t block_pixels() const { return smaller(images_of_block, images.size) * pixels.size; }

  Blocking rows, channels, pixels, images;
  int64_t images_of_block, blocks;
};

struct WeightGradTask {
  int64_t first_image, images;
  int64_t group;
  int64_t first_k, rows;
  int64_t first_channel, channels;  // within the group
};

template <class T>
WeightGradTask weight_grad_task(const WeightGradOperands<T>& operands, const WeightGradPlan& plan,
                                int64_t index) {
  const int64_t channel_block = index % plan.channels.count;
  const int64_t row_block = index / plan.channels.count % plan.rows.count;
  const int64_t group = index / plan.channels.count / plan.rows.count % operands.shape.groups;
  const int64_t first_image = index / plan.blocks * plan.images.size;
  const int64_t first_k = row_block * plan.rows.size,
                first_channel = channel_block * plan.channels.size;
  return {.first_image = first_image,
          .images = smaller(plan.images.size, operands.shape.batch - first_image),
          .group = group,
          .first_k = first_k,
          .rows = smaller(plan.rows.size, operands.depth() - first_k),
          .first_channel = first_channel,
          .channels = smaller(plan.channels.size, operands.produce() - first_channel)};
}

template <class T>
PatchSource<T> input_of(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                        int64_t image) {
  const Strides4& stride = operands.input_stride;
  return {operands.input + image * stride.n + task.group * operands.reduce() * stride.c,
          stride.c,
          stride.h,
          stride.w,
          operands.reduce(),
          operands.lattice};
}

// grad_output's channels of a task.
template <class T>
PatchSource<T> gradients_of(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                            int64_t image) {
  const Strides4& stride = operands.grad_output_stride;
  return {operands.grad_output + image * stride.n +
              (task.group * operands.produce() + task.first_channel) * stride.c,
          stride.c,
          stride.h,
          stride.w,
          task.channels,
          operands.output_lattice()};
}

// ---- channels_last: rows are k, columns are output channels, the depth is pixels ----

template <class T>
class OuterProducts {
 public:
  using A = Accumulate<T>;

  static WeightGradBlocks blocks(int64_t) { return {576, 256, 128}; }

  OuterProducts(const WeightGradPlan& plan, Arena& arena)
      : patches_(arena.take<A>(plan.block_pixels() * row_pitch<A>(plan.rows.size))),
        gradients_(
            arena.take<A>(plan.block_pixels() * round_up(plan.channels.size, kTileColumns<A>))) {}

  static int64_t sums_size(int64_t rows, int64_t channels) {
    return rows * round_up(channels, lanes<A>);
  }
  // to[channel * pitch + row] = the sum of a row and a channel.
  static void sort_sums(const A* sums, int64_t rows, int64_t channels, A* to, int64_t pitch) {
    transpose_copy(sums, round_up(channels, lanes<A>), to, pitch, rows, channels);
  }

  void accumulate(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                  const PixelBlock& block, A* sums) const {
    const int64_t pitch = row_pitch<A>(task.rows), sums_row = round_up(task.channels, lanes<A>);
    gather_patches(operands, task, block, pitch);
    gather_gradients(operands, task, block);
    const int64_t width = panel_width(task);
    multiply<A>({.rows = task.rows,
                 .columns = sums_row,
                 .depth = block.all_pixels(),
                 .scalars = patches_,
                 .scalar_panel = kTileRows,
                 .scalar_row = 1,
                 .scalar_depth = pitch,
                 .vectors = gradients_,
                 .vector_panel = block.all_pixels() * width,
                 .vector_depth = width,
                 .start = sums,
                 .start_panel = kTileColumns<A>,
                 .start_row = sums_row,
                 .sums = sums,
                 .sums_row = sums_row,
                 .ahead = ahead_of(operands, task, block)});
  }

 private:
  // What the next block gathers, if that is all of the memory where it lies.
  static Ahead ahead_of(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                        const PixelBlock& block) {
    Ahead ahead;
    const PixelBlock next = operands.block_behind(block);
    if (next.first_image >= task.first_image + task.images) return ahead;
    if (task.rows == operands.depth() && operands.shape.groups == 1)
      add_rows(operands.input, operands.input_stride, operands.lattice, next, ahead);
    if (task.channels == operands.shape.out_channels) {
      add_rows(operands.grad_output, operands.grad_output_stride, operands.output_lattice(), next,
               ahead);
    }
    return ahead;
  }

  // patches(pixel, k).
  void gather_patches(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                      const PixelBlock& block, int64_t pitch) const {
    const PatchBlock part{block.first_pixel, block.pixels, task.first_k, task.rows};
    for (int64_t image = 0; image < block.images; ++image) {
      PatchRows<T>(input_of(operands, task, block.first_image + image), part,
                   patches_ + image * block.pixels * pitch, pitch)
          .gather();
    }
  }

  static int64_t panel_width(const WeightGradTask& task) {
    return smaller(kTileColumns<A>, round_up(task.channels, lanes<A>));
  }

  // Panels of channels, [panel][pixel][panel_width]; zeros behind the last channel.
  void gather_gradients(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                        const PixelBlock& block) const {
    const int64_t width = panel_width(task), panel = block.all_pixels() * width;
    A* to = gradients_;
    for (int64_t image = 0; image < block.images; ++image) {
      const PatchSource<T> source = gradients_of(operands, task, block.first_image + image);
      const int64_t columns = source.lattice.w.count;
      int64_t i = block.first_pixel / columns, j = block.first_pixel % columns;
      for (int64_t p = 0; p < block.pixels; ++p, to += width) {
        const T* from = source.data + i * source.row_stride + j * source.column_stride;
        if (++j == columns) ++i, j = 0;
        for (int64_t c = 0; c < task.channels; c += width) {
          const int64_t count = smaller(width, task.channels - c);
          A* const piece = to + c / width * panel;
          load_run(from + c * source.channel_stride, source.channel_stride, piece, count);
          fill_run(piece + count, A(0), round_up(count, lanes<A>) - count);
        }
      }
    }
  }

  A *patches_, *gradients_;
};

// ---- contiguous: rows are k, columns are output channels, both with pixels in vectors ----

template <class T>
class DotProducts {
 public:
  using A = Accumulate<T>;
  static constexpr WeightGradBlocks kBlocks{64, 128, 1024}, kBlocksOfMaps{128, 256, 400};

  // Of small maps several are gathered for a block: the more channels it has, the less often.
  static WeightGradBlocks blocks(int64_t pixels) {
    return 2 * pixels <= kBlocksOfMaps.pixels ? kBlocksOfMaps : kBlocks;
  }

  DotProducts(const WeightGradPlan& plan, Arena& arena)
      : patches_(arena.take<A>(plan.rows.size * row_pitch<A>(plan.block_pixels()))),
        gradients_(arena.take<A>(plan.channels.size * row_pitch<A>(plan.block_pixels()))),
        segments_(arena.take<typename PatchColumns<T>::Segment>(plan.pixels.size)) {}

  static int64_t sums_size(int64_t rows, int64_t channels) {
    return dot_sums_size<A>(rows, channels);
  }
  // to[channel * pitch + row] = the sum of a row and a channel.
  static void sort_sums(const A* sums, int64_t rows, int64_t channels, A* to, int64_t pitch) {
    for (int64_t i = 0; i < rows; i += kDotRows) {
      for (int64_t j = 0; j < channels; j += kDotColumns, sums += kDotSums<A>) {
        for (int64_t c = 0; c < smaller<int64_t>(kDotColumns, channels - j); ++c) {
          for (int64_t r = 0; r < smaller<int64_t>(kDotRows, rows - i); ++r)
            to[(j + c) * pitch + i + r] = sums[r * kDotColumns + c];
        }
      }
    }
  }

  void accumulate(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                  const PixelBlock& block, A* sums) const {
    const Rows patches = find_rows(input_of(operands, task, block.first_image),
                                   operands.input_stride, block, task.first_k, task.rows, patches_);
    const Rows gradients =
        find_rows(gradients_of(operands, task, block.first_image), operands.grad_output_stride,
                  block, 0, task.channels, gradients_);
    int64_t row_offsets[kBlocksOfMaps.rows + kTileRows];
    for (int64_t i = 0; i < task.rows; ++i) row_offsets[i] = i * patches.stride;
    add_dot_product<A>({.rows = task.rows,
                        .columns = task.channels,
                        .segments = 1,
                        .depth = block.all_pixels(),
                        .row_data = patches.data,
                        .row_offsets = row_offsets,
                        .row_segment = 0,
                        .column_data = gradients.data,
                        .column_stride = gradients.stride,
                        .column_segment = 0,
                        .sums = sums,
                        .ahead = ahead_of(operands, task, block)});
  }

 private:
  // The next block's channels of both tensors, if it has whole maps and a pixel reads a sample.
  static Ahead ahead_of(const WeightGradOperands<T>& operands, const WeightGradTask& task,
                        const PixelBlock& block) {
    Ahead ahead;
    const PixelBlock next = operands.block_behind(block);
    if (next.pixels < operands.pixels() || next.first_image >= task.first_image + task.images ||
        !reads_single_samples(operands.lattice))
      return ahead;
    for (int64_t i = next.first_image; i < next.first_image + next.images; ++i) {
      ahead.add(input_of(operands, task, i).data + task.first_k * operands.input_stride.c,
                task.rows * operands.input_stride.c);
      ahead.add(gradients_of(operands, task, i).data,
                task.channels * operands.grad_output_stride.c);
    }
    return ahead;
  }

  struct Rows {
    const A* data;
    int64_t stride;
  };

  // Rows [first_k, first_k + rows) of patches(k, pixel): in the source where it holds them, else
  // gathered in `scratch`.
  Rows find_rows(PatchSource<T> source, const Strides4& stride, const PixelBlock& block,
                 int64_t first_k, int64_t rows, A* scratch) const {
    const CorrelationAxis &h = source.lattice.h, &w = source.lattice.w;
    const auto* data = accumulators(source.data);
    if (data != nullptr && source_step(source.lattice, stride, block.images) == 1) {
      return {
          data + h.offset * stride.h + w.offset * stride.w + block.first_pixel + first_k * stride.c,
          stride.c};
    }
    const int64_t pitch = row_pitch<A>(block.all_pixels());
    const PatchBlock part{block.first_pixel, block.pixels, first_k, rows};
    for (int64_t image = 0; image < block.images; ++image) {
      PatchColumns<T>(source, part, scratch + image * block.pixels, pitch, segments_).gather();
      source.data += stride.n;
    }
    return {scratch, pitch};
  }

  A *patches_, *gradients_;
  typename PatchColumns<T>::Segment* segments_;
};

// ---- the whole gradient ----

template <class T, class Products>
class WeightGrad {
 public:
  using A = Accumulate<T>;

  explicit WeightGrad(const WeightGradOperands<T>& operands)
      : operands_(operands),
        plan_(operands, Products::blocks(operands.pixels())),
        block_sums_(Products::sums_size(plan_.rows.size, plan_.channels.size)) {}

  int64_t workspace(int64_t threads) const {
    Arena arena;
    take_partials(arena);
    const int64_t bytes =
        workspace_bytes(arena, threads, [&](Arena& own) { return Products(plan_, own); });
    return larger(bytes,
                  workspace_bytes(arena, threads, [&](Arena& own) { return take_sorted(own); }));
  }

  void run(const Execution& execution) const {
    Arena arena(execution.workspace);
    A* partials = take_partials(arena);
    const ScratchBySlot scratch(execution, arena, [&](Arena& own) { return Products(plan_, own); });
    parallel(execution, plan_.images.count * plan_.blocks, [&](int64_t index, int64_t slot) {
      A* sums = partials + index * block_sums_;
      fill_run(sums, A(0), block_sums_);
      accumulate(weight_grad_task(operands_, plan_, index), scratch(slot), sums);
    });
    const ScratchBySlot sorted(execution, arena, [&](Arena& own) { return take_sorted(own); });
    parallel(execution, plan_.blocks, [&](int64_t block, int64_t slot) {
      add_runs(partials, block);
      write_block(partials + block * block_sums_, weight_grad_task(operands_, plan_, block),
                  sorted(slot));
    });
  }

 private:
  // Partial sums: [run of images][group][block of k][block of channels][block_sums_].
  A* take_partials(Arena& arena) const {
    return arena.take<A>(plan_.images.count * plan_.blocks * block_sums_);
  }

  void accumulate(const WeightGradTask& task, const Products& products, A* sums) const {
    for (int64_t image = 0; image < task.images; image += plan_.images_of_block) {
      for (int64_t pixel = 0; pixel < operands_.pixels(); pixel += plan_.pixels.size) {
        const PixelBlock block{task.first_image + image,
                               smaller(plan_.images_of_block, task.images - image), pixel,
                               smaller(plan_.pixels.size, operands_.pixels() - pixel)};
        products.accumulate(operands_, task, block, sums);
      }
    }
  }

  // Adds all runs of images to the first, in order.
  void add_runs(A* partials, int64_t block) const {
    A* sums = partials + block * block_sums_;
    for (int64_t run = 1; run < plan_.images.count; ++run) {
      const A* more = sums + run * plan_.blocks * block_sums_;
      for (int64_t i = 0; i < block_sums_; ++i) sums[i] += more[i];
    }
  }

  // A block's sums as the weight has them, a filter after the other.
  A* take_sorted(Arena& arena) const {
    return arena.take<A>(plan_.channels.size * plan_.rows.size);
  }

  // Filters are written in the weight's layout, (r, s, c) -> (c, r, s).
  void write_block(const A* sums, const WeightGradTask& block, A* sorted) const {
    Products::sort_sums(sums, block.rows, block.channels, sorted, block.rows);
    const int64_t reduce = operands_.reduce();
    const int64_t taps = operands_.shape.kernel.h * operands_.shape.kernel.w;
    T* filter = operands_.grad_weight +
                (block.group * operands_.produce() + block.first_channel) * operands_.depth();
    for (int64_t o = 0; o < block.channels; ++o, filter += operands_.depth()) {
      for (int64_t k = block.first_k; k < block.first_k + block.rows;) {
        const int64_t tap = k / reduce, c = k % reduce;
        const int64_t count = smaller(reduce - c, block.first_k + block.rows - k);
        store_run(sorted, filter + c * taps + tap, taps, count);
        sorted += count, k += count;
      }
    }
  }

  WeightGradOperands<T> operands_;
  WeightGradPlan plan_;
  int64_t block_sums_;
};

}  // namespace cnnops::CNNOPS_TARGET
