// Compiles what follows for the baseline of the architecture: 128-bit vectors.
#pragma once

#include "kernel_prelude.h"

#define CNNOPS_TARGET portable
#define CNNOPS_VECTOR_BYTES 16
