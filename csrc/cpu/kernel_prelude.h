// Everything a kernel may use from outside its instruction set's namespace; included before any
// target pragma.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <type_traits>
#include <utility>
#include <vector>

#include "../correlation.h"
#include "../scalar_types.h"
#include "conv2d.h"
#include "execution.h"
#include "pool2d.h"
#include "pool2d_windows.h"

#define CNNOPS_INLINE inline __attribute__((always_inline))
