#include "target_portable.h"

#include "pool2d_kernels.h"

#include "target_end.h"
