// Cutting ranges into blocks. The blocks of a call depend on its shape alone, never on the number
// of threads.
#pragma once

#include "vector.h"

namespace cnnops::CNNOPS_TARGET {

// A range cut into equal blocks of at most `largest`, then rounded up to a multiple of `quantum`; the
// last one may be shorter.
struct Blocking {
  int64_t size, count;
};
CNNOPS_INLINE Blocking blocking(int64_t total, int64_t largest, int64_t quantum) {
  if (total == 0) return {0, 0};
  const int64_t size = round_up(divide_up(total, divide_up(total, largest)), quantum);
  return {size, divide_up(total, size)};
}

// A sum over the batch is cut into about as many partial sums as keep this many tasks busy.
inline constexpr int64_t kBatchTasks = 32;

// Adds the partial sums of all runs to the first run's, in order; the runs lie `step` apart.
template <class A>
void add_runs(A* sums, int64_t size, int64_t runs, int64_t step) {
  for (int64_t run = 1; run < runs; ++run) {
    const A* more = sums + run * step;
    for (int64_t i = 0; i < size; ++i) sums[i] += more[i];
  }
}

CNNOPS_INLINE Blocking batch_runs(int64_t batch) {
  return blocking(batch, divide_up(batch, kBatchTasks), 1);
}

}  // namespace cnnops::CNNOPS_TARGET
