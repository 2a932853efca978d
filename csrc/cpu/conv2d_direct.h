// Algorithm "direct": the forward pass and the input gradient where few result channels share the
// samples they read, so that gathering patches would cost as much as multiplying them.
//
// A task owns a strip of rows of one image, for all result channels of a few groups. It copies the
// source rows it needs into a slab (slab.h), a block of channels at a time, and sums them with
// pixels in vectors, in either memory format; the lattices of an input gradient with a stride share
// the slab. The order of a sum is (channel, filter row, filter column), in blocks whose samples lie
// in the L1 cache.
#pragma once

#include "conv2d_cost.h"
#include "conv2d_direct_weight_grad.h"
#include "correlation_plan.h"
#include "slab_tile.h"

namespace cnnops::CNNOPS_TARGET {

// Pixels of a strip and their sums, and samples of a block of its slab, about.
inline constexpr int64_t kStripPixels = 1536, kStripSums = 16384, kBlockSamples = 8192;

class DirectPlan {
 public:
  explicit DirectPlan(const Conv2dProblem& problem)
      : lattices(correlation_lattices(problem)),
        h(lattices.rows),
        w(lattices.columns),
        reduce(Conv2dCounts(problem).reduce),
        produce(Conv2dCounts(problem).produce),
        rows(blocking(h.outputs, rows_of_strip(), 1)),
        slab(h, w, rows.size),
        width(divide_up(produce, divide_up(produce, kSlabRows))),
        pixels(rows.size * slab.row_pitch()),
        taps(taps_of(lattices.rows) * taps_of(lattices.columns)) {
    const int64_t room = larger<int64_t>(1, kSlabElements / slab.channel_pitch());
    const int64_t most = smaller(kSlabChannels, room) / larger<int64_t>(1, larger(reduce, produce));
    groups = blocking(problem.shape.groups, larger<int64_t>(1, most), 1);
    channels = groups.size > 1 ? Blocking{reduce, 1} : blocking(reduce, room, 1);
  }

  Lattices lattices;
  SlabAxis h, w;
  int64_t reduce, produce;
  Blocking rows;  // of a lattice, in strips
  Slab slab;
  int64_t width;              // of the packed filter: result channels of a tile
  int64_t pixels;             // of a strip
  int64_t taps;               // of all lattices
  Blocking groups, channels;  // channels of a group's source, in slabs

  // Of a lattice with so many taps: whole channels, if one's are no more than kBlockDepth.
  int64_t block_depth(int64_t taps) const {
    const int64_t most = smaller(kBlockDepth / taps, kBlockSamples / slab.channel_pitch());
    return smaller(kBlockDepth, larger<int64_t>(1, most) * taps);
  }

 private:
  int64_t rows_of_strip() const {
    const int64_t most = smaller(kStripPixels, kStripSums / larger(produce, kSlabChannels));
    return larger<int64_t>(1, most / w.samples(w.outputs));
  }
  static int64_t taps_of(const std::vector<CorrelationAxis>& axes) {
    int64_t taps = 0;
    for (const CorrelationAxis& axis : axes) taps += axis.taps;
    return taps;
  }
};

template <class T>
class Direct {
 public:
  using A = Accumulate<T>;

  static bool supports(const Conv2dProblem& problem) {
    if (problem.pass == Conv2dPass::kWeightGrad)
      return has_window_rows(problem) || DirectWeightGrad<T>::supports(problem.shape);
    const Lattices lattices = correlation_lattices(problem);
    if (lattices.rows.empty() || lattices.columns.empty()) return false;
    const SlabAxis h(lattices.rows), w(lattices.columns);
    return Slab(h, w, 1).channel_pitch() <= kSlabElements;
  }

  static int64_t workspace(const Conv2dProblem& problem, int64_t threads) {
    if (problem.pass == Conv2dPass::kWeightGrad) {
      return with_weight_grad(problem, {},
                              [&](const auto& gradient) { return gradient.workspace(threads); });
    }
    const DirectPlan plan(problem);
    Arena arena;
    take_filter(plan, problem, arena);
    take_offsets(plan, arena);
    return workspace_bytes(arena, threads, [&](Arena& own) { return Scratch(plan, own); });
  }

  static void run(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                  const Execution& execution) {
    if (problem.pass == Conv2dPass::kWeightGrad) {
      with_weight_grad(problem, tensors, [&](const auto& gradient) { gradient.run(execution); });
      return;
    }
    const DirectPlan plan(problem);
    const CorrelationOperands<T> operands = correlation_operands<T>(problem, tensors);
    const Pair map = result_map(problem);
    if (operands.reduce == 0 || !covers(plan.lattices, map))
      fill_with_bias(operands, map, execution);
    if (operands.reduce == 0) return;
    Direct(plan, operands, problem).run(problem, execution);
  }

 private:
  template <class Body>
  static auto with_weight_grad(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                               Body body) {
    const WeightGradOperands<T> operands = weight_grad_operands<T>(problem, tensors);
    if (has_window_rows(problem)) return body(WindowRowsWeightGrad<T>(operands));
    return body(DirectWeightGrad<T>(operands));
  }

  struct Scratch {
    A *slab, *sums, *bias;

    Scratch(const DirectPlan& plan, Arena& arena)
        : slab(arena.take<A>(plan.groups.size * plan.channels.size * plan.slab.channel_pitch() +
                             kSlabSlack<A>)),
          sums(arena.take<A>(plan.groups.size * plan.produce * sums_row(plan))),
          bias(arena.take<A>(plan.groups.size * plan.produce)) {}
  };

  // A strip of one image, and a few groups.
  struct Task {
    int64_t image, first_group, groups, first_row;
  };

  static int64_t sums_row(const DirectPlan& plan) {
    return row_pitch<A>(plan.pixels + kSlabSlack<A>);
  }
  // The filter: [lattice][group][panel of `width` result channels][channel, tap][width].
  static A* take_filter(const DirectPlan& plan, const Conv2dProblem& problem, Arena& arena) {
    return arena.take<A>(plan.taps * plan.reduce * problem.shape.groups *
                         round_up(plan.produce, plan.width));
  }
  // Of the taps of a slab's channels: [lattice][channel, tap].
  static int64_t* take_offsets(const DirectPlan& plan, Arena& arena) {
    return arena.take<int64_t>(plan.taps * plan.channels.size);
  }

  Direct(const DirectPlan& plan, const CorrelationOperands<T>& operands,
         const Conv2dProblem& problem)
      : plan_(plan),
        operands_(operands),
        source_map_(problem.pass == Conv2dPass::kForward ? problem.shape.input
                                                         : problem.shape.output) {}

  void run(const Conv2dProblem& problem, const Execution& execution) {
    Arena arena(execution.workspace);
    filter_ = take_filter(plan_, problem, arena);
    offsets_ = take_offsets(plan_, arena);
    A* filter = filter_;
    int64_t* offsets = offsets_;
    for_each_lattice([&](const Correlation& lattice, int64_t, int64_t) {
      filter = pack(lattice, filter);
      offsets = tabulate(lattice, offsets);
    });
    const ScratchBySlot scratch(execution, arena, [&](Arena& own) { return Scratch(plan_, own); });
    const int64_t tasks = operands_.batch * plan_.groups.count * plan_.rows.count;
    parallel(execution, tasks, [&](int64_t index, int64_t slot) {
      const int64_t group = index / plan_.rows.count % plan_.groups.count * plan_.groups.size;
      compute({index / plan_.rows.count / plan_.groups.count, group,
               smaller(plan_.groups.size, operands_.groups - group),
               index % plan_.rows.count * plan_.rows.size},
              scratch(slot));
    });
  }

  // body(lattice, its taps, the taps of the lattices before).
  template <class Body>
  void for_each_lattice(Body body) const {
    int64_t before = 0;
    for (const CorrelationAxis& h : plan_.lattices.rows) {
      for (const CorrelationAxis& w : plan_.lattices.columns) {
        body(Correlation{h, w}, h.taps * w.taps, before);
        before += h.taps * w.taps;
      }
    }
  }

  A* pack(const Correlation& lattice, A* to) const {
    const FilterView<T>& view = operands_.filter;
    for (int64_t group = 0; group < operands_.groups; ++group) {
      for (int64_t first = 0; first < plan_.produce; first += plan_.width) {
        for (int64_t c = 0; c < plan_.reduce; ++c) {
          for (int64_t r = 0; r < lattice.h.taps; ++r) {
            for (int64_t s = 0; s < lattice.w.taps; ++s, to += plan_.width) {
              const T* from = view.data + group * view.group_stride + first * view.produce_stride +
                              c * view.reduce_stride +
                              (lattice.h.tap_first + r * lattice.h.tap_step) * view.row_stride +
                              (lattice.w.tap_first + s * lattice.w.tap_step) * view.column_stride;
              const int64_t count = smaller(plan_.width, plan_.produce - first);
              for (int64_t o = 0; o < count; ++o)
                to[o] = load_scalar(from + o * view.produce_stride);
              fill_run(to + count, A(0), plan_.width - count);
            }
          }
        }
      }
    }
    return to;
  }

  int64_t* tabulate(const Correlation& lattice, int64_t* to) const {
    for (int64_t c = 0; c < plan_.channels.size; ++c) {
      for (int64_t r = 0; r < lattice.h.taps; ++r) {
        for (int64_t s = 0; s < lattice.w.taps; ++s)
          *to++ = c * plan_.slab.channel_pitch() + plan_.slab.tap_offset(lattice, r, s);
      }
    }
    return to;
  }

  // Every lattice fills the slab again where a group's channels do not fit into one.
  void compute(const Task& task, const Scratch& scratch) const {
    const int64_t results = task.groups * plan_.produce;
    const T* bias = operands_.bias;
    fill_run(scratch.bias, A(0), results);
    if (bias != nullptr) copy_run(bias + task.first_group * plan_.produce, scratch.bias, results);
    if (plan_.channels.count == 1) fill(task, 0, scratch.slab);
    for_each_lattice([&](const Correlation& lattice, int64_t taps, int64_t before) {
      const int64_t rows = smaller(plan_.rows.size, lattice.h.count - task.first_row);
      if (rows <= 0) return;
      for (int64_t c = 0; c < plan_.reduce; c += plan_.channels.size) {
        if (plan_.channels.count > 1) fill(task, c, scratch.slab);
        accumulate(task, rows, taps, before, c, scratch);
      }
      write(task, lattice, rows, scratch.sums);
    });
  }

  void fill(const Task& task, int64_t channel, A* slab) const {
    const Strides4& stride = operands_.source_stride;
    const int64_t per_group = smaller(plan_.channels.size, plan_.reduce - channel);
    const int64_t channels = task.groups * per_group;
    plan_.slab.fill(operands_.source + task.image * stride.n +
                        (task.first_group * plan_.reduce + channel) * stride.c,
                    stride, source_map_, channels, task.first_row, slab);
    fill_run(slab + channels * plan_.slab.channel_pitch(), A(0), kSlabSlack<A>);
  }

  // Adds the channels of the slab, from `channel` on.
  void accumulate(const Task& task, int64_t rows, int64_t taps, int64_t before, int64_t channel,
                  const Scratch& scratch) const {
    const int64_t depth = smaller(plan_.channels.size, plan_.reduce - channel) * taps;
    const int64_t panels = divide_up(plan_.produce, plan_.width);
    const int64_t panel_size = plan_.reduce * taps * plan_.width;
    const int64_t block = plan_.block_depth(taps);
    const A* lattice_filter =
        filter_ + before * plan_.reduce * operands_.groups * panels * plan_.width;
    for (int64_t g = 0; g < task.groups; ++g) {
      const A* filter = lattice_filter + (task.first_group + g) * panels * panel_size +
                        channel * taps * plan_.width;
      for (int64_t k = 0; k < depth; k += block) {
        for (int64_t panel = 0; panel < panels; ++panel) {
          const int64_t first = panel * plan_.width;
          SlabTile<A> tile{
              .depth = smaller(block, depth - k),
              .filter = filter + panel * panel_size + k * plan_.width,
              .filter_width = plan_.width,
              .slab = scratch.slab + g * plan_.channels.size * plan_.slab.channel_pitch(),
              .offsets = offsets_ + before * plan_.channels.size + k,
              .first = channel == 0 && k == 0,
              .bias = scratch.bias + g * plan_.produce + first,
              .sums = scratch.sums + (g * plan_.produce + first) * sums_row(plan_),
              .sums_row = sums_row(plan_),
          };
          correlate_strip(tile, smaller(plan_.width, plan_.produce - first),
                          rows * plan_.slab.row_pitch());
        }
      }
    }
  }

  static void correlate_strip(SlabTile<A> tile, int64_t rows, int64_t pixels) {
    const int64_t step = slab_tile_pixels<A>(rows);
    for (int64_t p = 0; p < pixels; p += step, tile.slab += step, tile.sums += step)
      kSlabKernels<A>[rows - 1](tile);
  }

  T* first_result(const Task& task, const Correlation& lattice) const {
    const Strides4& stride = operands_.result_stride;
    return operands_.result + task.image * stride.n + task.first_group * plan_.produce * stride.c +
           (lattice.h.first + task.first_row * lattice.h.step) * stride.h +
           lattice.w.first * stride.w;
  }

  void write(const Task& task, const Correlation& lattice, int64_t rows, const A* sums) const {
    const Strides4& stride = operands_.result_stride;
    const int64_t results = task.groups * plan_.produce, step = lattice.w.step * stride.w;
    const int64_t row = lattice.h.step * stride.h, pitch = plan_.slab.row_pitch();
    T* to = first_result(task, lattice);
    if (stride.c == 1 && step != 1) {
      for (int64_t i = 0; i < rows; ++i) {
        transpose_copy(sums + i * pitch, sums_row(plan_), to + i * row, step, results,
                       lattice.w.count);
      }
      return;
    }
    for (int64_t c = 0; c < results; ++c, sums += sums_row(plan_), to += stride.c) {
      for (int64_t i = 0; i < rows; ++i)
        store_run(sums + i * pitch, to + i * row, step, lattice.w.count);
    }
  }

  const DirectPlan& plan_;
  const CorrelationOperands<T>& operands_;
  Pair source_map_;
  A* filter_ = nullptr;
  int64_t* offsets_ = nullptr;
};

}  // namespace cnnops::CNNOPS_TARGET
