// Correlations of half types on tensor cores.
#include "correlation_gemm.cuh"
#include "kernels.h"
#include "source_chunks.cuh"
#include "source_gather.cuh"
#include "tensor_core.cuh"

namespace cnnops::cuda {

std::vector<Kernel> correlation_half_kernels() {
  return table_of<&correlation_gemm<TensorCore<__half, 128, 128>, __half, Chunks>,
                  &correlation_gemm<TensorCore<__half, 128, 128>, __half, Gather>,
                  &correlation_gemm<TensorCore<__half, 128, 64>, __half, Chunks>,
                  &correlation_gemm<TensorCore<__half, 128, 64>, __half, Gather>,
                  &correlation_gemm<TensorCore<__half, 128, 32>, __half, Chunks>,
                  &correlation_gemm<TensorCore<__half, 128, 32>, __half, Gather>>();
}

}  // namespace cnnops::cuda
