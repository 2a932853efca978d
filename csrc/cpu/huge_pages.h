// Huge pages for workspaces: a kernel walks through many parts of one at a time, more than the
// processor's table of small pages has entries.
#pragma once

#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace cnnops {

// Smaller memory has no huge page of its own.
inline constexpr int64_t kHugePage = 2 << 20;

// A hint that costs a system call: where the system does not know it, small pages stay.
inline void advise_huge_pages(char* data, int64_t bytes) {
#if defined(MADV_HUGEPAGE)
  constexpr uintptr_t kSmallPage = 4096;
  const uintptr_t first = (reinterpret_cast<uintptr_t>(data) + kSmallPage - 1) & -kSmallPage;
  const uintptr_t last = (reinterpret_cast<uintptr_t>(data) + uintptr_t(bytes)) & -kSmallPage;
  if (bytes >= kHugePage) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#else
  (void)data, (void)bytes;
#endif
}

}  // namespace cnnops
