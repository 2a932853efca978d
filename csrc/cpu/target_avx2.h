// Compiles what follows for AVX2 with FMA and F16C: 256-bit vectors.
//
// The standard headers come before the pragma: an inline function of theirs compiled under it could
// be the copy the linker keeps for the whole library, and would then fault on an older machine.
#pragma once

#include <immintrin.h>

#include "kernel_prelude.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif

#define CNNOPS_TARGET avx2
#define CNNOPS_VECTOR_BYTES 32
#define CNNOPS_AVX2 1
