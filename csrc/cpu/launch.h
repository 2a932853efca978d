// From PyTorch's threads and memory to what the CPU's kernels take.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include "../tensors.h"
#include "execution.h"
#include "flush_denormals.h"
#include "huge_pages.h"

namespace cnnops {

// Denormals is the DenormalMode of every thread that takes part.
template <class Denormals>
void parallel_for(int64_t tasks, void* context, RangeBody body) {
  at::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
    const Denormals mode;
    body(context, first, last, at::get_thread_num());
  });
}

inline int64_t thread_count() { return at::get_num_threads(); }

// Multiply-adds below which waking other threads costs more than they save; and bytes of a workspace
// that is taken from the stack.
inline constexpr double kSerialWork = 1 << 18;
inline constexpr int64_t kStackWorkspace = 16384;

// Calls kernel(execution) with a workspace of workspace_bytes(threads). The work decides where the
// kernel runs, which changes no bit of its results.
template <class Denormals, class Bytes, class Kernel>
void launch(double work, Bytes workspace_bytes, Kernel kernel) {
  const int64_t threads = work < kSerialWork ? 1 : thread_count();
  const ParallelFor run = threads == 1 ? serial_for : parallel_for<Denormals>;
  const int64_t bytes = workspace_bytes(threads);
  const Denormals mode;
  if (bytes <= kStackWorkspace) {
    alignas(kWorkspaceAlignment) char workspace[kStackWorkspace];
    return kernel(Execution{run, threads, workspace});
  }
  const at::Tensor workspace = at::empty({bytes}, at::TensorOptions().dtype(at::kByte));
  char* const data = static_cast<char*>(workspace.mutable_data_ptr());
  advise_huge_pages(data, bytes);
  kernel(Execution{run, threads, data});
}

}  // namespace cnnops
