// The weight gradient where few channels meet, so that gathering patches would cost as much as
// multiplying them:
//
//   grad_weight(o, k) = sum_pixel slab(offsets[k] + pixel) * grad_output(o, pixel)
//
// A task owns a few groups, or a block of one group's input channels, for a run of images. It copies
// strips of both tensors into slabs (slab.h), or reads grad_output where its columns are contiguous,
// and sums rows of pixels with pixels in vectors (dot_tile.h). The runs of images give partial sums,
// which are added in order.
#pragma once

#include "dot_tile.h"
#include "slab.h"
#include "weight_grad_plan.h"

namespace cnnops::CNNOPS_TARGET {

// The gradients of a strip, about: those of fewer than kFewestGradients channels are shorter.
inline constexpr int64_t kGradientElements = 32768, kFewestGradients = 32;

class DirectWeightGradPlan {
 public:
  explicit DirectWeightGradPlan(const Conv2dShape& shape)
      : lattices(forward_lattices(window_grid(shape))),
        h(lattices.rows),
        w(lattices.columns),
        reduce(shape.in_channels / shape.groups),
        produce(shape.out_channels / shape.groups),
        taps(shape.kernel.h * shape.kernel.w),
        rows(blocking(shape.output.h, rows_of_strip(), 1)),
        input(h, w, rows.size),
        gradients(all_of(shape.output.h), all_of(shape.output.w), rows.size) {
    const int64_t room = larger<int64_t>(1, kSlabElements / input.channel_pitch());
    const int64_t most = smaller(kSlabChannels, room) / larger<int64_t>(1, larger(reduce, produce));
    groups = blocking(shape.groups, larger<int64_t>(1, most), 1);
    channels = groups.size > 1 ? Blocking{reduce, 1} : blocking(reduce, room, 1);
    blocks = groups.count * channels.count;
    images = blocking(larger<int64_t>(1, shape.batch),
                      larger<int64_t>(1, divide_up(shape.batch, runs_of_images(shape))), 1);
  }

  Lattices lattices;
  SlabAxis h, w;
  int64_t reduce, produce, taps;
  Blocking rows;  // of grad_output, in strips
  Slab input, gradients;
  Blocking groups, channels, images;  // channels of a group's input
  int64_t blocks;                     // of groups and channels

 private:
  // As the implicit product's: worth their memory, and not too much of it.
  int64_t runs_of_images(const Conv2dShape& shape) const {
    const int64_t bytes =
        blocks * groups.size * channels.size * taps * produce * 2 * int64_t(sizeof(float));
    const int64_t affordable = kPartialBytes / larger<int64_t>(1, bytes);
    const int64_t worthwhile = shape.batch * shape.output.h * shape.output.w / kRunPixels;
    const int64_t wanted = divide_up(kBatchTasks, larger<int64_t>(1, blocks));
    return larger<int64_t>(1, smaller(affordable, smaller(worthwhile, wanted)));
  }
  int64_t rows_of_strip() const {
    return larger<int64_t>(
        1, kGradientElements / larger(kFewestGradients, produce) / w.samples(w.outputs));
  }
  static SlabAxis all_of(int64_t size) {
    return SlabAxis(std::vector<CorrelationAxis>{{size, 0, 1, size, 1, 0, 1, 1, 0, 1}});
  }
};

template <class T>
class DirectWeightGrad {
 public:
  using A = Accumulate<T>;

  static bool supports(const Conv2dShape& shape) {
    const Lattices lattices = forward_lattices(window_grid(shape));
    const SlabAxis h(lattices.rows), w(lattices.columns);
    return Slab(h, w, 1).channel_pitch() <= kSlabElements &&
           shape.out_channels / shape.groups * shape.output.w <= 2 * kGradientElements;
  }

  explicit DirectWeightGrad(const WeightGradOperands<T>& operands)
      : operands_(operands),
        plan_(operands.shape),
        group_sums_(dot_sums_size<A>(plan_.channels.size * plan_.taps, plan_.produce)) {}

  int64_t workspace(int64_t threads) const {
    Arena arena;
    take_offsets(arena);
    take_partials(arena);
    return workspace_bytes(arena, threads, [&](Arena& own) { return Scratch(plan_, own); });
  }

  void run(const Execution& execution) const {
    Arena arena(execution.workspace);
    int64_t* offsets = take_offsets(arena);
    tabulate(offsets);
    A* partials = take_partials(arena);
    const ScratchBySlot scratch(execution, arena, [&](Arena& own) { return Scratch(plan_, own); });
    parallel(execution, plan_.images.count * plan_.blocks, [&](int64_t index, int64_t slot) {
      accumulate(task(index), offsets, scratch(slot), partials + index * block_sums());
    });
    parallel(execution, plan_.blocks, [&](int64_t block, int64_t) {
      A* sums = partials + block * block_sums();
      add_runs(sums, block_sums(), plan_.images.count, plan_.blocks * block_sums());
      write(task(block), sums);
    });
  }

 private:
  struct Scratch {
    A *input, *gradients;

    Scratch(const DirectWeightGradPlan& plan, Arena& arena)
        : input(arena.take<A>(plan.groups.size * plan.channels.size * plan.input.channel_pitch())),
          gradients(
              arena.take<A>(plan.groups.size * plan.produce * plan.gradients.channel_pitch())) {}
  };

  struct Task {
    int64_t first_image, images;
    int64_t first_group, groups;
    int64_t first_channel, channels;  // of a group's input
  };

  Task task(int64_t index) const {
    const int64_t channel = index % plan_.channels.count * plan_.channels.size;
    const int64_t group = index / plan_.channels.count % plan_.groups.count * plan_.groups.size;
    const int64_t image = index / plan_.blocks * plan_.images.size;
    return {image,   smaller(plan_.images.size, operands_.shape.batch - image),
            group,   smaller(plan_.groups.size, operands_.shape.groups - group),
            channel, smaller(plan_.channels.size, plan_.reduce - channel)};
  }

  // Partial sums: [run of images][block][group of the block][tiles].
  int64_t block_sums() const { return plan_.groups.size * group_sums_; }
  A* take_partials(Arena& arena) const {
    return arena.take<A>(plan_.images.count * plan_.blocks * block_sums());
  }

  // Of the taps of a slab's channels: [channel, tap].
  int64_t* take_offsets(Arena& arena) const {
    return arena.take<int64_t>(plan_.channels.size * plan_.taps);
  }
  void tabulate(int64_t* to) const {
    const Correlation lattice{plan_.lattices.rows[0], plan_.lattices.columns[0]};
    for (int64_t c = 0; c < plan_.channels.size; ++c) {
      for (int64_t r = 0; r < lattice.h.taps; ++r) {
        for (int64_t s = 0; s < lattice.w.taps; ++s)
          *to++ = c * plan_.input.channel_pitch() + plan_.input.tap_offset(lattice, r, s);
      }
    }
  }

  void accumulate(const Task& task, const int64_t* offsets, const Scratch& scratch, A* sums) const {
    fill_run(sums, A(0), block_sums());
    for (int64_t image = task.first_image; image < task.first_image + task.images; ++image) {
      for (int64_t row = 0; row < operands_.shape.output.h; row += plan_.rows.size)
        add_strip(task, image, row, offsets, scratch, sums);
    }
  }

  void add_strip(const Task& task, int64_t image, int64_t row, const int64_t* offsets,
                 const Scratch& scratch, A* sums) const {
    const Conv2dShape& shape = operands_.shape;
    const Strides4& stride = operands_.input_stride;
    plan_.input.fill(operands_.input + image * stride.n +
                         (task.first_group * plan_.reduce + task.first_channel) * stride.c,
                     stride, shape.input, task.groups * task.channels, row, scratch.input);
    const Gradients gradients = find_gradients(task, image, row, scratch.gradients);
    for (int64_t g = 0; g < task.groups; ++g) {
      add_dot_product<A>(
          {.rows = task.channels * plan_.taps,
           .columns = plan_.produce,
           .segments = smaller(plan_.rows.size, shape.output.h - row),
           .depth = shape.output.w,
           .row_data = scratch.input + g * task.channels * plan_.input.channel_pitch(),
           .row_offsets = offsets,
           .row_segment = plan_.input.row_pitch(),
           .column_data = gradients.data + g * plan_.produce * gradients.channel,
           .column_stride = gradients.channel,
           .column_segment = gradients.row,
           .sums = sums + g * group_sums_});
    }
  }

  struct Gradients {
    const A* data;
    int64_t channel, row;  // strides
  };

  // grad_output of a strip: in the tensor where its columns are contiguous, else in `slab`.
  Gradients find_gradients(const Task& task, int64_t image, int64_t row, A* slab) const {
    const Strides4& stride = operands_.grad_output_stride;
    const T* from =
        operands_.grad_output + image * stride.n + task.first_group * plan_.produce * stride.c;
    const auto* data = accumulators(from);
    if (data != nullptr && stride.w == 1) return {data + row * stride.h, stride.c, stride.h};
    plan_.gradients.fill(from, stride, operands_.shape.output, task.groups * plan_.produce, row,
                         slab);
    return {slab, plan_.gradients.channel_pitch(), plan_.gradients.row_pitch()};
  }

  void write(const Task& task, const A* sums) const {
    const int64_t depth = plan_.reduce * plan_.taps;
    const int64_t rows = task.channels * plan_.taps;
    for (int64_t g = 0; g < task.groups; ++g) {
      T* to = operands_.grad_weight + (task.first_group + g) * plan_.produce * depth +
              task.first_channel * plan_.taps;
      for (int64_t o = 0; o < plan_.produce; ++o) {
        for (int64_t k = 0; k < rows; ++k) {
          const A* tile = sums + g * group_sums_ + dot_tile_at<A>(k, o, plan_.produce);
          store_scalar(to + o * depth + k, tile[k % kDotRows * kDotColumns + o % kDotColumns]);
        }
      }
    }
  }

  WeightGradOperands<T> operands_;
  DirectWeightGradPlan plan_;
  int64_t group_sums_;
};

}  // namespace cnnops::CNNOPS_TARGET
