#if defined(__aarch64__)
#include "target_neon.h"

#include "conv2d_kernels.h"

#include "target_end.h"
#endif
