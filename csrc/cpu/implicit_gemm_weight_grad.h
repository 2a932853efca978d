// The weight gradient as an implicit matrix product:
//
//   grad_weight(o, k) = sum_pixel grad_output(o, pixel) * patch(pixel, k)
//
// Sums of a block of pixels are built in registers and added to a task's sums, which have the
// weight's own order for a filter of one tap: they are built in the gradient itself, unless there
// are several runs of images. Factors is PixelFactors for channels_last tensors, MapFactors for
// contiguous ones.
#pragma once

#include "weight_grad_factors.h"

namespace cnnops::CNNOPS_TARGET {

template <class T, class Factors>
class WeightGrad {
 public:
  using A = Accumulate<T>;

  explicit WeightGrad(const WeightGradOperands<T>& operands)
      : operands_(operands), plan_(operands, Factors::kLargest) {}

  int64_t workspace(int64_t threads) const {
    Arena arena;
    take_partials(arena);
    return workspace_bytes(arena, threads, [&](Arena& own) { return Scratch(*this, own); });
  }

  void run(const Execution& execution) const {
    Arena arena(execution.workspace);
    A* const partials = take_partials(arena);
    const ScratchBySlot scratch(execution, arena, [&](Arena& own) { return Scratch(*this, own); });
    if (partials == nullptr) {
      parallel(execution, plan_.blocks, [&](int64_t block, int64_t slot) {
        write(weight_grad_task(operands_, plan_, block), scratch(slot));
      });
      return;
    }
    parallel(execution, plan_.images.count * plan_.blocks, [&](int64_t index, int64_t slot) {
      const WeightGradTask task = weight_grad_task(operands_, plan_, index);
      accumulate(task, scratch(slot).factors, {partials + index * block_sums(), sums_row(task)});
    });
    parallel(execution, plan_.blocks, [&](int64_t block, int64_t) {
      const WeightGradTask task = weight_grad_task(operands_, plan_, block);
      A* const sums = partials + block * block_sums();
      add_runs(sums, block_sums(), plan_.images.count, plan_.blocks * block_sums());
      write_sums(task, {sums, sums_row(task)});
    });
  }

 private:
  // sums(o, k) at o * row + k.
  struct Sums {
    A* data;
    int64_t row;
  };

  // Scratch memory of one thread.
  struct Scratch {
    Factors factors;
    A* sums;

    Scratch(const WeightGrad& gradient, Arena& arena)
        : factors(gradient.plan_, arena), sums(gradient.take_sums(arena)) {}
  };

  static int64_t sums_row(const WeightGradTask& task) { return round_up(task.depth, lanes<A>); }
  int64_t block_sums() const { return plan_.channels.size * plan_.depth.size; }

  // Whether sums are built in the gradient.
  bool in_place() const {
    return plan_.images.count == 1 && std::is_same_v<T, A> && operands_.taps() == 1;
  }

  // Partial sums of several runs of images: [run][group][block of k][block of channels][o][k].
  A* take_partials(Arena& arena) const {
    if (plan_.images.count == 1) return nullptr;
    return arena.take<A>(plan_.images.count * plan_.blocks * block_sums());
  }
  A* take_sums(Arena& arena) const {
    if (plan_.images.count > 1 || in_place()) return nullptr;
    return arena.take<A>(block_sums());
  }

  // A block of the gradient.
  T* first_weight(const WeightGradTask& task) const {
    return operands_.grad_weight +
           (task.group * operands_.produce() + task.first_channel) * operands_.depth();
  }

  void write(const WeightGradTask& task, const Scratch& scratch) const {
    if (in_place()) {
      A* const sums = accumulators(first_weight(task)) + task.first_k;
      return accumulate(task, scratch.factors, {sums, operands_.depth()});
    }
    const Sums sums{scratch.sums, sums_row(task)};
    accumulate(task, scratch.factors, sums);
    write_sums(task, sums);
  }

  void accumulate(const WeightGradTask& task, const Factors& factors, const Sums& sums) const {
    if (task.images == 0) return clear(task, sums);
    const A* start = nullptr;
    for (int64_t image = 0; image < task.images; image += plan_.images_of_block) {
      for (int64_t pixel = 0; pixel < operands_.pixels(); pixel += plan_.pixels.size) {
        const PixelBlock block{task.first_image + image,
                               smaller(plan_.images_of_block, task.images - image), pixel,
                               smaller(plan_.pixels.size, operands_.pixels() - pixel)};
        add_block(task, block, factors, start, sums);
        start = sums.data;
      }
    }
  }

  void add_block(const WeightGradTask& task, const PixelBlock& block, const Factors& factors,
                 const A* start, const Sums& sums) const {
    const WeightGradFactors<A> product = factors.gather(operands_, task, block);
    const PixelBlock next = operands_.block_behind(block);
    const bool is_last = next.first_image >= task.first_image + task.images;
    multiply<A>({.rows = task.channels,
                 .columns = task.depth,
                 .depth = block.all_pixels(),
                 .scalars = product.gradients,
                 .scalar_panel = product.gradient_panel,
                 .scalar_row = product.gradient_row,
                 .scalar_depth = product.gradient_depth,
                 .vectors = product.patches,
                 .vector_panel = kTileColumns<A>,
                 .vector_depth = product.patch_row,
                 .start = start,
                 .start_panel = kTileColumns<A>,
                 .start_row = sums.row,
                 .sums = sums.data,
                 .sums_row = sums.row,
                 .ahead = is_last ? Ahead{} : Factors::ahead_of(operands_, task, next)});
  }

  static void clear(const WeightGradTask& task, const Sums& sums) {
    for (int64_t o = 0; o < task.channels; ++o)
      fill_run(sums.data + o * sums.row, A(0), task.depth);
  }

  // Filters are written in the weight's layout, (r, s, c) -> (c, r, s).
  void write_sums(const WeightGradTask& task, const Sums& sums) const {
    const int64_t reduce = operands_.reduce(), taps = operands_.taps();
    const int64_t last_k = task.first_k + task.depth;
    T* filter = first_weight(task);
    for (int64_t o = 0; o < task.channels; ++o, filter += operands_.depth()) {
      const A* from = sums.data + o * sums.row;
      for (int64_t k = task.first_k; k < last_k;) {
        const int64_t tap = k / reduce, c = k % reduce;
        const int64_t count = smaller(reduce - c, last_k - k);
        store_run(from, filter + c * taps + tap, taps, count);
        from += count, k += count;
      }
    }
  }

  WeightGradOperands<T> operands_;
  WeightGradPlan plan_;
};

}  // namespace cnnops::CNNOPS_TARGET
