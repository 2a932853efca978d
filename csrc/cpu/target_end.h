// Ends the region that a target_*.h header opened; the last include of a kernel's translation unit.
#if defined(__clang__) && (defined(CNNOPS_AVX2) || defined(CNNOPS_AVX512))
#pragma clang attribute pop
#endif
