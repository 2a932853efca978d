#include "target_portable.h"

#include "conv2d_kernels.h"

#include "target_end.h"
