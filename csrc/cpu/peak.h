// The multiply-adds of a CPU at its fastest: what a kernel's speed is measured against. Free of
// PyTorch's headers.
#pragma once

#include <cstdint>

namespace cnnops {

// Runs on one thread for so many rounds and returns the floating-point operations done, a
// multiply-add counting as two. `sink` takes a value that depends on all of them.
struct Peak {
  double (*float32)(int64_t rounds, float* sink);
  double (*float64)(int64_t rounds, double* sink);
};

}  // namespace cnnops
