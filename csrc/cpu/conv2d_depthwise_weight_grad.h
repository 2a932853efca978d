// Algorithm "depthwise", weight gradient: for each channel and tap, the product of the input and
// grad_output summed over all pixels. channels_last keeps channels in vectors; contiguous maps
// multiply rows.
//
// A task owns a run of images and a block of channels, and writes partial sums; the runs are added
// in order.
#pragma once

#include "blocking.h"
#include "operand_lanes.h"

namespace cnnops::CNNOPS_TARGET {

template <class T>
class DepthwiseWeightGrad {
 public:
  using A = Accumulate<T>;

  static int64_t workspace(const Conv2dProblem& problem) {
    Arena arena;
    arena.take<A>(batch_runs(problem.shape.batch).count * run_size(problem));
    return arena.size();
  }

  static void run(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                  const Execution& execution) {
    const DepthwiseWeightGrad call(problem, tensors, reinterpret_cast<A*>(execution.workspace));
    const int64_t blocks = divide_up(problem.shape.groups, lanes<A>);
    parallel(execution, call.runs_.count * blocks,
             [&](int64_t task, int64_t) { call.sum_run(task / blocks, task % blocks * lanes<A>); });
    parallel(execution, problem.shape.groups,
             [&](int64_t channel, int64_t) { call.write_filter(channel); });
  }

 private:
  DepthwiseWeightGrad(const Conv2dProblem& problem, const Conv2dTensors& tensors, A* partials)
      : shape_(problem.shape),
        lattices_(forward_lattices(window_grid(problem.shape))),
        channels_last_(problem.channels_last),
        input_{static_cast<const T*>(tensors.input.data), tensors.input.stride, 0},
        grad_output_{static_cast<const T*>(tensors.output.data), tensors.output.stride, 0},
        grad_weight_(static_cast<T*>(tensors.weight.data)),
        partials_(partials),
        runs_(batch_runs(problem.shape.batch)) {}

  // Partial sums of a run of images: [tap][channel].
  static int64_t run_size(const Conv2dProblem& problem) {
    return problem.shape.kernel.h * problem.shape.kernel.w *
           round_up(problem.shape.groups, lanes<A>);
  }
  A* partial(int64_t run, int64_t tap) const {
    const int64_t taps = shape_.kernel.h * shape_.kernel.w;
    return partials_ + (run * taps + tap) * round_up(shape_.groups, lanes<A>);
  }

  void sum_run(int64_t run, int64_t channel) const {
    const int64_t count = smaller(lanes<A>, shape_.groups - channel);
    const int64_t first = run * runs_.size, last = smaller(shape_.batch, first + runs_.size);
    for (int64_t tap = 0; tap < shape_.kernel.h * shape_.kernel.w; ++tap) {
      const Overlap part = overlap(tap);
      Vec<A> sums{};
      for (int64_t image = first; image < last; ++image) {
        sums += channels_last_ ? sum_channels(image, channel, count, part)
                               : sum_maps(image, channel, count, part);
      }
      store(partial(run, tap) + channel, sums);
    }
  }

  // The pixels of grad_output whose tap lies inside the input, and where the first of them reads.
  struct Overlap {
    Range rows, columns;
    int64_t y, x;
  };
  Overlap overlap(int64_t tap) const {
    const CorrelationAxis &h = lattices_.rows[0], &w = lattices_.columns[0];
    const int64_t y = h.offset + tap / shape_.kernel.w * h.dilation;
    const int64_t x = w.offset + tap % shape_.kernel.w * w.dilation;
    const Range rows = inside(h.count, h.stride, y, h.source),
                columns = inside(w.count, w.stride, x, w.source);
    return {rows, columns, y + rows.first * h.stride, x + columns.first * w.stride};
  }

  Vec<A> sum_channels(int64_t image, int64_t channel, int64_t count, const Overlap& part) const {
    const int64_t input_step = shape_.stride.w * input_.stride.w;
    Vec<A> sums{};
    for (int64_t p = part.rows.first, y = part.y; p < part.rows.last; ++p, y += shape_.stride.h) {
      int64_t from = at(input_.stride, image, channel, y, part.x);
      int64_t gradient = at(grad_output_.stride, image, channel, p, part.columns.first);
      Vec<A> row{};
      for (int64_t q = part.columns.first; q < part.columns.last; ++q) {
        row = multiply_add<A>(input_.fetch(from, input_.stride.c, count),
                              grad_output_.fetch(gradient, grad_output_.stride.c, count), row);
        from += input_step;
        gradient += grad_output_.stride.w;
      }
      sums += row;
    }
    return sums;
  }

  Vec<A> sum_maps(int64_t image, int64_t channel, int64_t count, const Overlap& part) const {
    Vec<A> sums{};
    for (int64_t lane = 0; lane < count; ++lane) {
      for (int64_t p = part.rows.first, y = part.y; p < part.rows.last; ++p, y += shape_.stride.h) {
        sums[lane] +=
            multiply_rows(at(input_.stride, image, channel + lane, y, part.x),
                          at(grad_output_.stride, image, channel + lane, p, part.columns.first),
                          part.columns.last - part.columns.first);
      }
    }
    return sums;
  }

  A multiply_rows(int64_t from, int64_t gradient, int64_t columns) const {
    const int64_t input_step = shape_.stride.w * input_.stride.w;
    const int64_t whole = columns - columns % lanes<A>;
    const auto products = [&](int64_t q, int64_t count, Vec<A> sums) {
      return multiply_add<A>(
          input_.fetch(from + q * input_step, input_step, count),
          grad_output_.fetch(gradient + q * grad_output_.stride.w, grad_output_.stride.w, count),
          sums);
    };
    Vec<A> sums{};
    for (int64_t q = 0; q < whole; q += lanes<A>) sums = products(q, lanes<A>, sums);
    A sum = 0;
    for (int64_t lane = 0; lane < lanes<A>; ++lane) sum += sums[lane];
    if (whole == columns) return sum;
    const Vec<A> rest = products(whole, columns - whole, Vec<A>{});
    for (int64_t lane = 0; lane < columns - whole; ++lane) sum += rest[lane];
    return sum;
  }

  void write_filter(int64_t channel) const {
    for (int64_t tap = 0; tap < shape_.kernel.h * shape_.kernel.w; ++tap) {
      A sum = 0;
      for (int64_t run = 0; run < runs_.count; ++run) sum += partial(run, tap)[channel];
      store_scalar(grad_weight_ + channel * shape_.kernel.h * shape_.kernel.w + tap, sum);
    }
  }

  const Conv2dShape shape_;
  const Lattices lattices_;
  const bool channels_last_;
  const Values<T> input_, grad_output_;
  T* const grad_weight_;
  A* const partials_;
  const Blocking runs_;
};

}  // namespace cnnops::CNNOPS_TARGET
