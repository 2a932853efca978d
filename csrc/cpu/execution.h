// What a kernel needs from its surroundings: threads and memory.
#pragma once

#include <cstdint>

#include "../arena.h"

namespace cnnops {

// Runs body(context, first, last, slot) over disjoint ranges that cover [0, tasks). Ranges may run
// at the same time; a slot in [0, threads) is never in use by two at once.
using RangeBody = void (*)(void* context, int64_t first, int64_t last, int64_t slot);
using ParallelFor = void (*)(int64_t tasks, void* context, RangeBody body);

struct Execution {
  ParallelFor parallel_for;
  int64_t threads;
  char* workspace;  // as many bytes as the kernel asked for, aligned to kWorkspaceAlignment
};

// All on the calling thread.
inline void serial_for(int64_t tasks, void* context, RangeBody body) { body(context, 0, tasks, 0); }

// For steps inside of a task, whose memory is the task's.
inline constexpr Execution kOnOneThread{serial_for, 1, nullptr};

// Scratch memory for each slot, behind what `shared` has handed out. make(arena) lays one out; it
// is called with an arena that only measures, too.
template <class Make>
class ScratchBySlot {
 public:
  ScratchBySlot(const Execution& execution, const Arena& shared, Make make)
      : base_(execution.workspace + shared.size()), make_(make) {
    Arena measure;
    make_(measure);
    bytes_ = measure.size();
  }
  auto operator()(int64_t slot) const {
    Arena own(base_ + slot * bytes_);
    return make_(own);
  }

 private:
  char* base_;
  Make make_;
  int64_t bytes_;
};

// The bytes that `shared` has handed out and that a ScratchBySlot needs behind them.
template <class Make>
int64_t workspace_bytes(const Arena& shared, int64_t threads, Make make) {
  Arena measure;
  make(measure);
  return shared.size() + threads * measure.size();
}

// body(first, last, slot) for ranges of tasks, on the threads of `execution`.
template <class Body>
void parallel_ranges(const Execution& execution, int64_t tasks, Body body) {
  execution.parallel_for(tasks, &body,
                         [](void* context, int64_t first, int64_t last, int64_t slot) {
                           (*static_cast<Body*>(context))(first, last, slot);
                         });
}

// body(task, slot) for every task.
template <class Body>
void parallel(const Execution& execution, int64_t tasks, Body body) {
  parallel_ranges(execution, tasks, [&](int64_t first, int64_t last, int64_t slot) {
    for (int64_t task = first; task < last; ++task) body(task, slot);
  });
}

}  // namespace cnnops
