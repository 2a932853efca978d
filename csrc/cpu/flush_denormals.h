// What the arithmetic of a thread makes of denormal numbers (those closer to zero than the smallest
// normal one). Free of PyTorch's headers.
//
// A processor may take a hundred times as long over them. Nothing that a convolution sums can tell
// them from zero, so convolutions flush them, those they read and those they would produce; a pooling
// may have to select one, so poolings keep them. Each thread has a mode of its own, which whoever
// uses the thread may have set: a kernel sets the one it needs and leaves the thread as it was.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace cnnops {

#if defined(__x86_64__)
// MXCSR: FTZ for results and DAZ for operands.
inline constexpr uint64_t kFlushBits = 0x8000 | 0x0040;
inline uint64_t float_control() { return _mm_getcsr(); }
inline void set_float_control(uint64_t bits) { _mm_setcsr(uint32_t(bits)); }
#elif defined(__aarch64__)
// FPCR: FZ for both.
inline constexpr uint64_t kFlushBits = uint64_t(1) << 24;
inline uint64_t float_control() {
  uint64_t bits;
  asm volatile("mrs %0, fpcr" : "=r"(bits));
  return bits;
}
inline void set_float_control(uint64_t bits) { asm volatile("msr fpcr, %0" : : "r"(bits)); }
#else
inline constexpr uint64_t kFlushBits = 0;
inline uint64_t float_control() { return 0; }
inline void set_float_control(uint64_t) {}
#endif

// Holds for the calling thread while it lives. A compiler does not know that arithmetic depends on
// it; a call through a pointer, as that of a kernel, stays inside.
template <uint64_t kBits>
class DenormalMode {
 public:
  DenormalMode() : before_(float_control()), during_((before_ & ~kFlushBits) | kBits) {
    if (during_ != before_) set_float_control(during_);
  }
  ~DenormalMode() {
    if (during_ != before_) set_float_control(before_);
  }
  DenormalMode(const DenormalMode&) = delete;
  DenormalMode& operator=(const DenormalMode&) = delete;

 private:
  const uint64_t before_, during_;
};

using FlushDenormals = DenormalMode<kFlushBits>;
using KeepDenormals = DenormalMode<0>;

}  // namespace cnnops
