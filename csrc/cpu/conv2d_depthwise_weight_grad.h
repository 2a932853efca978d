// Algorithm "depthwise", weight gradient. A task owns a run of images and a block of channels, and
// writes partial sums; the runs are added in order.
#pragma once

#include "blocking.h"
#include "conv2d_depthwise_direct_map_products.h"
#include "conv2d_depthwise_map_products.h"
#include "conv2d_depthwise_pixel_products.h"
#include "conv2d_depthwise_small_map_products.h"
#include "conv2d_depthwise_square_products.h"

namespace cnnops::CNNOPS_TARGET {

template <class T, class Products>
class DepthwiseWeightGrad {
 public:
  using A = Accumulate<T>;

  DepthwiseWeightGrad(const DepthwiseProducts<T>& operands, T* grad_weight)
      : products_(operands),
        channels_(blocking(operands.shape.groups, Products::kChannels, lanes<A>)),
        runs_(blocking(operands.shape.batch,
                       divide_up(operands.shape.batch, divide_up(kTasks, channels_.count)), 1)),
        shape_(operands.shape),
        grad_weight_(grad_weight) {}

  int64_t workspace(int64_t threads) const {
    Arena arena;
    take_partials(arena);
    return workspace_bytes(arena, threads, [&](Arena& own) { return products_.take(own); });
  }

  void run(const Execution& execution) const {
    Arena arena(execution.workspace);
    A* const partials = take_partials(arena);
    const ScratchBySlot scratch(execution, arena, [&](Arena& own) { return products_.take(own); });
    parallel(execution, runs_.count * channels_.count, [&](int64_t task, int64_t slot) {
      const int64_t run = task / channels_.count;
      const ProductBlock block = this->block(run, task % channels_.count * channels_.size);
      const TapSums<A> sums{partials + run * taps() * row() + block.channel, row()};
      for (int64_t tap = 0; tap < taps(); ++tap)
        fill_run(sums.data + tap * row(), A(0), round_up(block.count, lanes<A>));
      products_.add(block, scratch(slot), sums);
    });
    add_runs(partials, taps() * row(), runs_.count, taps() * row());
    for (int64_t tap = 0; tap < taps(); ++tap)
      store_run(partials + tap * row(), grad_weight_ + tap, taps(), shape_.groups);
  }

 private:
  // The fewest tasks a batch is cut into.
  static constexpr int64_t kTasks = 32;

  int64_t taps() const { return shape_.kernel.h * shape_.kernel.w; }
  // Partial sums of a run of images: [tap][channel], in rows of this many.
  int64_t row() const { return channels_.count * channels_.size; }
  A* take_partials(Arena& arena) const { return arena.take<A>(runs_.count * taps() * row()); }

  ProductBlock block(int64_t run, int64_t channel) const {
    const int64_t first = run * runs_.size;
    return {{first, smaller(shape_.batch, first + runs_.size)},
            channel,
            smaller(channels_.size, shape_.groups - channel)};
  }

  const Products products_;
  const Blocking channels_, runs_;
  const Conv2dShape shape_;
  T* const grad_weight_;
};

// Calls visit(weight gradient) with the form for a problem's layout and maps.
template <class T, class Visit>
void visit_depthwise_weight_grad(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                                 Visit visit) {
  const Conv2dShape& shape = problem.shape;
  const Lattices lattices = forward_lattices(window_grid(shape));
  const DepthwiseProducts<T> operands{
      shape,
      {lattices.rows[0], lattices.columns[0]},
      {static_cast<const T*>(tensors.input.data), tensors.input.stride},
      {static_cast<const T*>(tensors.output.data), tensors.output.stride}};
  T* const grad_weight = static_cast<T*>(tensors.weight.data);
  if (problem.channels_last && SquareProducts<T>::supports(operands))
    return visit(DepthwiseWeightGrad<T, SquareProducts<T>>(operands, grad_weight));
  if (problem.channels_last)
    return visit(DepthwiseWeightGrad<T, PixelProducts<T>>(operands, grad_weight));
  if (ShiftedMap<T>::supports(problem))
    return visit(
        DepthwiseWeightGrad<T, DirectMapProducts<T, ShiftedMap<T>>>(operands, grad_weight));
  if (has_small_maps<Accumulate<T>>(shape, shape.output))
    return visit(DepthwiseWeightGrad<T, SmallMapProducts<T>>(operands, grad_weight));
  if (HalvedMap<T>::supports(problem))
    return visit(DepthwiseWeightGrad<T, DirectMapProducts<T, HalvedMap<T>>>(operands, grad_weight));
  visit(DepthwiseWeightGrad<T, MapProducts<T>>(operands, grad_weight));
}

}  // namespace cnnops::CNNOPS_TARGET
