// Everything a kernel may use from outside its instruction set's namespace; included before any
// target pragma.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "conv2d.h"
#include "correlation.h"
#include "execution.h"
#include "pool2d.h"
#include "scalar_types.h"

#define CNNOPS_INLINE inline __attribute__((always_inline))
