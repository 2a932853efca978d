// Fetching memory into the cache while a register tile multiplies what is there already.
#pragma once

#include "vector.h"

namespace cnnops::CNNOPS_TARGET {

// Cache lines that a tile fetches, one each step of the depth.
struct FetchedLines {
  const char* first;
  int64_t step;  // bytes
};

// What is needed next: runs of memory whose lines tiles fetch, one tile after the other.
class Ahead {
 public:
  template <class T>
  void add(const T* data, int64_t elements) {
    const char* first = reinterpret_cast<const char*>(data);
    runs_[count_++] = {first, first + elements * int64_t(sizeof(T))};
  }

  // The lines of the next tile of such a depth; `idle` where none are left.
  FetchedLines take(int64_t depth, const void* idle) {
    if (next_ < count_) {
      Run& run = runs_[next_];
      const char* const first = run.first;
      run.first += depth * kLine;
      if (run.first >= run.last) ++next_;
      return {first, kLine};
    }
    return {static_cast<const char*>(idle), 0};
  }

 private:
  static constexpr int64_t kLine = 64;
  struct Run {
    const char *first, *last;
  };
  Run runs_[2];
  int count_ = 0, next_ = 0;
};

}  // namespace cnnops::CNNOPS_TARGET
