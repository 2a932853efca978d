// Compiles what follows for AVX-512 (F, BW, DQ, VL): 512-bit vectors, 32 registers, masked loads
// and stores.
//
// The standard headers come before the pragma: an inline function of theirs compiled under it could
// be the copy the linker keeps for the whole library, and would then fault on an older machine.
#pragma once

#include <immintrin.h>

#include "kernel_prelude.h"

#if defined(__clang__)
#pragma clang attribute push(                                                    \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), \
    apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,prefer-vector-width=512")
#endif

#define CNNOPS_TARGET avx512
#define CNNOPS_VECTOR_BYTES 64
#define CNNOPS_AVX512 1
