// Threads for the kernels' parallel_for, without OpenMP, whose synchronization ThreadSanitizer does
// not see.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "../../csrc/cpu/execution.h"

namespace native {

// Worker `slot` always takes every threads-th range, backwards: each has a share of every loop,
// however busy the machine, and no kernel may count on the order.
class Threads {
 public:
  explicit Threads(int64_t count) : count_(count) {
    for (int64_t slot = 1; slot < count; ++slot)
      workers_.emplace_back([this, slot] { work(slot); });
  }
  ~Threads() {
    start(0, nullptr, nullptr);
    for (std::thread& worker : workers_) worker.join();
  }

  void run(int64_t tasks, void* context, cnnops::RangeBody body) {
    if (tasks <= 0) return;
    start(tasks, context, body);
    take_share(0);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return working_ == 0; });
  }

 private:
  void start(int64_t tasks, void* context, cnnops::RangeBody body) {
    const std::lock_guard lock(mutex_);
    tasks_ = tasks, context_ = context, body_ = body;
    working_ = count_ - 1;
    ++round_;
    changed_.notify_all();
  }

  void work(int64_t slot) {
    for (int64_t round = 1;; ++round) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return round_ >= round; });
      }
      if (body_ == nullptr) return;
      take_share(slot);
      const std::lock_guard lock(mutex_);
      if (--working_ == 0) changed_.notify_all();
    }
  }

  void take_share(int64_t slot) {
    const int64_t size = (tasks_ + 3 * count_ - 1) / (3 * count_);
    const int64_t ranges = (tasks_ + size - 1) / size;
    for (int64_t range = ranges - 1 - slot; range >= 0; range -= count_) {
      const int64_t last = (range + 1) * size;
      body_(context_, range * size, last < tasks_ ? last : tasks_, slot);
    }
  }

  const int64_t count_;
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t round_ = 0, working_ = 0, tasks_ = 0;
  void* context_ = nullptr;
  cnnops::RangeBody body_ = nullptr;
};

// An execution on `threads` threads, at most kMostThreads; one at a time.
inline constexpr int64_t kMostThreads = 4;

template <int64_t kThreads>
void parallel_for(int64_t tasks, void* context, cnnops::RangeBody body) {
  static Threads threads(kThreads);
  threads.run(tasks, context, body);
}

inline cnnops::Execution execution(int64_t threads, char* workspace) {
  static constexpr cnnops::ParallelFor kPools[kMostThreads] = {parallel_for<1>, parallel_for<2>,
                                                               parallel_for<3>, parallel_for<4>};
  return {kPools[threads - 1], threads, workspace};
}

}  // namespace native
