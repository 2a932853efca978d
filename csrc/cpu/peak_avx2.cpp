#if defined(__x86_64__)
#include "target_avx2.h"

#include "peak_kernels.h"

#include "target_end.h"
#endif
