// What a kernel needs from its surroundings: threads and memory.
#pragma once

#include <cstdint>

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

inline constexpr int64_t kWorkspaceAlignment = 64;

// Hands out parts of a workspace. Started at null it only measures: the code that lays a workspace
// out also tells its size.
class Arena {
 public:
  explicit Arena(char* base = nullptr) : base_(reinterpret_cast<uintptr_t>(base)) {}

  template <class T>
  T* take(int64_t count) {
    const int64_t at = size_;
    size_ += (count * int64_t(sizeof(T)) + kWorkspaceAlignment - 1) / kWorkspaceAlignment *
             kWorkspaceAlignment;
    return reinterpret_cast<T*>(base_ + uintptr_t(at));
  }
  int64_t size() const { return size_; }

 private:
  uintptr_t base_;
  int64_t size_ = 0;
};

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

// body(task, slot) for every task, on the threads of `execution`.
template <class Body>
void parallel(const Execution& execution, int64_t tasks, Body body) {
  execution.parallel_for(tasks, &body,
                         [](void* context, int64_t first, int64_t last, int64_t slot) {
                           Body& call = *static_cast<Body*>(context);
                           for (int64_t task = first; task < last; ++task) call(task, slot);
                         });
}

// A tensor's memory: strides in elements, in the order of (N, C, H, W) or (K, C/groups, R, S).
struct Strides4 {
  int64_t n, c, h, w;
};
struct ConstTensor {
  const void* data;
  Strides4 stride;
};
struct MutableTensor {
  void* data;
  Strides4 stride;
};

}  // namespace cnnops
