// The kernels of the instruction set in use, out of those compiled.
#include "capability.h"
#include "conv2d.h"
#include "pool2d.h"

namespace cnnops {

namespace portable {
extern const Conv2dKernels kConv2dKernels;
extern const Pool2dKernels kPool2dKernels;
}  // namespace portable
#if defined(__x86_64__)
namespace avx2 {
extern const Conv2dKernels kConv2dKernels;
extern const Pool2dKernels kPool2dKernels;
}  // namespace avx2
namespace avx512 {
extern const Conv2dKernels kConv2dKernels;
extern const Pool2dKernels kPool2dKernels;
}  // namespace avx512
#endif
#if defined(__aarch64__)
namespace neon {
extern const Conv2dKernels kConv2dKernels;
extern const Pool2dKernels kPool2dKernels;
}  // namespace neon
#endif

const Conv2dKernels& conv2d_kernels() {
  switch (capability()) {
#if defined(__x86_64__)
    case Capability::kAvx512:
      return avx512::kConv2dKernels;
    case Capability::kAvx2:
      return avx2::kConv2dKernels;
#endif
#if defined(__aarch64__)
    case Capability::kNeon:
      return neon::kConv2dKernels;
#endif
    default:
      return portable::kConv2dKernels;
  }
}

const Pool2dKernels& pool2d_kernels() {
  switch (capability()) {
#if defined(__x86_64__)
    case Capability::kAvx512:
      return avx512::kPool2dKernels;
    case Capability::kAvx2:
      return avx2::kPool2dKernels;
#endif
#if defined(__aarch64__)
    case Capability::kNeon:
      return neon::kPool2dKernels;
#endif
    default:
      return portable::kPool2dKernels;
  }
}

}  // namespace cnnops
