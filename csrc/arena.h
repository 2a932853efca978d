// Lays out a workspace, free of PyTorch's headers.
#pragma once

#include <cstdint>

namespace cnnops {

// Bytes. No vector access of any kernel is wider.
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

}  // namespace cnnops
