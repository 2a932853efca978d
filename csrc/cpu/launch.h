// From PyTorch's threads and memory to what the CPU's kernels take.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include "../tensors.h"
#include "execution.h"
#include "flush_denormals.h"

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

// Calls kernel(execution) with a workspace of workspace_bytes(threads).
template <class Denormals, class Bytes, class Kernel>
void launch(Bytes workspace_bytes, Kernel kernel) {
  const int64_t threads = thread_count();
  const at::Tensor workspace =
      at::empty({workspace_bytes(threads)}, at::TensorOptions().dtype(at::kByte));
  const Denormals mode;
  kernel(Execution{parallel_for<Denormals>, threads,
                   static_cast<char*>(workspace.mutable_data_ptr())});
}

}  // namespace cnnops
