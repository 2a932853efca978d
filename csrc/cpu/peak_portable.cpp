#include "target_portable.h"

#include "peak_kernels.h"

#include "target_end.h"
