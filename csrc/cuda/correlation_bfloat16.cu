// Correlations of bfloat16: on tensor cores, and widened to float where these do not know it.
#include "correlation_gemm.cuh"
#include "kernels.h"
#include "simt.cuh"
#include "source_chunks.cuh"
#include "source_gather.cuh"
#include "tensor_core.cuh"

namespace cnnops::cuda {

std::vector<Kernel> correlation_bfloat16_kernels() {
  return table_of<&correlation_gemm<TensorCore<__nv_bfloat16, 128, 128>, __nv_bfloat16, Chunks>,
                  &correlation_gemm<TensorCore<__nv_bfloat16, 128, 128>, __nv_bfloat16, Gather>,
                  &correlation_gemm<TensorCore<__nv_bfloat16, 128, 64>, __nv_bfloat16, Chunks>,
                  &correlation_gemm<TensorCore<__nv_bfloat16, 128, 64>, __nv_bfloat16, Gather>,
                  &correlation_gemm<TensorCore<__nv_bfloat16, 128, 32>, __nv_bfloat16, Chunks>,
                  &correlation_gemm<TensorCore<__nv_bfloat16, 128, 32>, __nv_bfloat16, Gather>,
                  &correlation_gemm<Simt<float, 128, 128>, __nv_bfloat16, Gather>,
                  &correlation_gemm<Simt<float, 128, 64>, __nv_bfloat16, Gather>,
                  &correlation_gemm<Simt<float, 128, 32>, __nv_bfloat16, Gather>>();
}

}  // namespace cnnops::cuda
