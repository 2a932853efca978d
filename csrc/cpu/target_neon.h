// Compiles what follows for 64-bit Arm, where 128-bit NEON vectors and half conversions are part of
// the baseline.
#pragma once

#include <arm_neon.h>

#include "kernel_prelude.h"

#define CNNOPS_TARGET neon
#define CNNOPS_VECTOR_BYTES 16
#define CNNOPS_NEON 1
