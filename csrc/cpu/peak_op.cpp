// The operator with which the benchmarks measure what the CPU can do.
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <atomic>

#include "capability.h"
#include "peak.h"

namespace cnnops {

namespace portable {
extern const Peak kPeak;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Peak kPeak;
}
namespace avx512 {
extern const Peak kPeak;
}
#endif
#if defined(__aarch64__)
namespace neon {
extern const Peak kPeak;
}
#endif

namespace {

const Peak& peak() {
  switch (capability()) {
#if defined(__x86_64__)
    case Capability::kAvx512:
      return avx512::kPeak;
    case Capability::kAvx2:
      return avx2::kPeak;
#endif
#if defined(__aarch64__)
    case Capability::kNeon:
      return neon::kPeak;
#endif
    default:
      return portable::kPeak;
  }
}

// On every thread; returns the operations done by all of them.
double multiply_adds(at::ScalarType dtype, int64_t rounds) {
  TORCH_CHECK(dtype == at::kFloat || dtype == at::kDouble,
              "_multiply_adds: dtype must be float32 or float64, got ", dtype);
  TORCH_CHECK(rounds >= 0, "_multiply_adds: rounds must be at least 0, got ", rounds);
  std::atomic<double> operations = 0;
  at::parallel_for(0, at::get_num_threads(), 1, [&](int64_t first, int64_t last) {
    float narrow;
    double wide;
    for (int64_t i = first; i < last; ++i) {
      operations +=
          dtype == at::kFloat ? peak().float32(rounds, &narrow) : peak().float64(rounds, &wide);
    }
  });
  return operations;
}

}  // namespace
}  // namespace cnnops

TORCH_LIBRARY_FRAGMENT(cnnops, m) {
  m.def("_multiply_adds(ScalarType dtype, int rounds) -> float", cnnops::multiply_adds);
}
