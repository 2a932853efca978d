// Depthwise correlation of contiguous maps straight from memory: Maps is a ShiftedMap, a HalvedMap or a
// HalvedMapGradient.
#pragma once

#include "conv2d_depthwise_halved_gradient.h"
#include "conv2d_depthwise_halved_map.h"
#include "conv2d_depthwise_shifted_map.h"

namespace cnnops::CNNOPS_TARGET {

// The results of a map. `room` elements from the first on belong to maps of the same thread.
template <class Maps, class T>
CNNOPS_INLINE void write_results(const Maps& maps, const T* map, const Vec<Accumulate<T>>* filter,
                                 Accumulate<T> bias, T* to, int64_t room) {
  using A = Accumulate<T>;
  maps.visit(map,
             [&](int64_t i, int64_t count, const Vec<A>* samples) __attribute__((always_inline)) {
               fetch_page_ahead_to_write(to + i);
               Vec<A> sum = splat<A>(bias);
#pragma GCC unroll 9
               for (int t = 0; t < 9; ++t) sum = multiply_add<A>(samples[t], filter[t], sum);
               i + lanes<A> <= room ? store(to + i, sum)
                                    : store_partial(to + i, sum, smaller(lanes<A>, count));
             });
}
template <class T>
CNNOPS_INLINE void write_results(const HalvedMapGradient<T>& maps, const T* map,
                                 const Vec<Accumulate<T>>* filter, Accumulate<T> bias, T* to,
                                 int64_t) {
  maps.write(map, filter, bias, to);
}

template <class T, class Maps>
class DirectMapCorrelation {
 public:
  using A = Accumulate<T>;

  DirectMapCorrelation(const Conv2dProblem& problem, const CorrelationOperands<T>& operands)
      : operands_(operands),
        maps_(problem.shape, operands.source_stride),
        size_(result_map(problem).h * result_map(problem).w) {
    if (problem.pass == Conv2dPass::kInputGrad) rotate(operands_.filter);
  }

  int64_t workspace(int64_t threads) const {
    return workspace_bytes(Arena(), threads, [&](Arena& arena) { return maps_.take(arena); });
  }

  void run(const Execution& execution) const {
    const ScratchBySlot scratch(execution, Arena(),
                                [&](Arena& arena) { return maps_.take(arena); });
    parallel_ranges(execution, operands_.batch * operands_.groups,
                    [&](int64_t first, int64_t last, int64_t slot) {
                      T* const copy = scratch(slot);
                      MapIndex index(first, operands_.groups);
                      for (int64_t map = first; map < last; ++map, index.next()) {
                        correlate(maps_.map(operands_.source, index, copy), index.channel,
                                  operands_.result + map * size_, (last - map) * size_);
                      }
                    });
  }

 private:
  static void rotate(FilterView<T>& filter) {
    filter.data += 2 * (filter.row_stride + filter.column_stride);
    filter.row_stride = -filter.row_stride;
    filter.column_stride = -filter.column_stride;
  }

  // `room` elements from the first result on belong to maps of the same thread.
  void correlate(const T* map, int64_t channel, T* to, int64_t room) const {
    const FilterView<T>& view = operands_.filter;
    const T* from = view.data + channel * view.group_stride;
    A taps[9];
#pragma GCC unroll 9
    for (int t = 0; t < 9; ++t)
      taps[t] = load_scalar(from + t / 3 * view.row_stride + t % 3 * view.column_stride);
    const A bias = operands_.bias != nullptr ? load_scalar(operands_.bias + channel) : A(0);
    write(map, taps, bias, to, room);
  }

  __attribute__((noinline)) void write(const T* map, const A* taps, A bias, T* to,
                                       int64_t room) const {
    Vec<A> filter[9];
    for (int t = 0; t < 9; ++t) filter[t] = splat<A>(taps[t]);
    write_results(maps_, map, filter, bias, to, room);
  }

  CorrelationOperands<T> operands_;
  const Maps maps_;
  const int64_t size_;  // of a map of results
};

}  // namespace cnnops::CNNOPS_TARGET
