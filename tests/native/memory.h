// Memory between guards: an access one byte beyond it, on the side that it is flush with, ends the
// program, with a sanitizer or without. AddressSanitizer sees both sides.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace native {

enum class Flush { kStart, kEnd };

// `size` bytes of 0xff: NaN in every floating-point type, -1 in integers.
class Memory {
 public:
  explicit Memory(int64_t size, int64_t alignment = 1, Flush flush = Flush::kEnd) : size_(size) {
    const int64_t page = sysconf(_SC_PAGESIZE);
    room_ = (size + page - 1) / page * page;
    mapped_ = room_ + 2 * page;
    void* mapping =
        mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<char*>(mapping);
    inside_ = base_ + page;
    data_ = inside_ + (flush == Flush::kStart ? 0 : (room_ - size) / alignment * alignment);
    protect(PROT_READ | PROT_WRITE);
    std::memset(data_, 0xff, size);
#if defined(__SANITIZE_ADDRESS__)
    __asan_poison_memory_region(base_, mapped_);
    __asan_unpoison_memory_region(data_, size);
#endif
  }
  Memory(Memory&& other) noexcept { *this = std::move(other); }
  Memory& operator=(Memory&& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(inside_, other.inside_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(room_, other.room_);
    std::swap(mapped_, other.mapped_);
    return *this;
  }
  ~Memory() {
    if (base_ == nullptr) return;
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(base_, mapped_);
#endif
    munmap(base_, mapped_);
  }

  char* data() const { return data_; }
  int64_t size() const { return size_; }
  // From here on a write ends the program.
  void make_read_only() const { protect(PROT_READ); }

 private:
  void protect(int access) const {
    if (room_ > 0 && mprotect(inside_, room_, access) != 0) throw std::bad_alloc();
  }

  char *base_ = nullptr, *inside_ = nullptr, *data_ = nullptr;
  int64_t size_ = 0, room_ = 0, mapped_ = 0;
};

}  // namespace native
