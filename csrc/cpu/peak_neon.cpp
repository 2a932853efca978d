#if defined(__aarch64__)
#include "target_neon.h"

#include "peak_kernels.h"

#include "target_end.h"
#endif
