#if defined(__x86_64__)
#include "target_avx2.h"

#include "conv2d_kernels.h"

#include "target_end.h"
#endif
