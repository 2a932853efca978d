// Correlations of float32: exact products, and on tensor cores in TF32.
#include "correlation_gemm.cuh"
#include "kernels.h"
#include "simt.cuh"
#include "source_chunks.cuh"
#include "source_gather.cuh"
#include "tensor_core.cuh"

namespace cnnops::cuda {

std::vector<Kernel> correlation_float_kernels() {
  return table_of<&correlation_gemm<Simt<float, 128, 128>, float, Chunks>,
                  &correlation_gemm<Simt<float, 128, 128>, float, Gather>,
                  &correlation_gemm<Simt<float, 128, 64>, float, Chunks>,
                  &correlation_gemm<Simt<float, 128, 64>, float, Gather>,
                  &correlation_gemm<Simt<float, 128, 32>, float, Chunks>,
                  &correlation_gemm<Simt<float, 128, 32>, float, Gather>,
                  &correlation_gemm<TensorCore<Tf32, 128, 128>, float, Chunks>,
                  &correlation_gemm<TensorCore<Tf32, 128, 128>, float, Gather>,
                  &correlation_gemm<TensorCore<Tf32, 128, 64>, float, Chunks>,
                  &correlation_gemm<TensorCore<Tf32, 128, 64>, float, Gather>,
                  &correlation_gemm<TensorCore<Tf32, 128, 32>, float, Chunks>,
                  &correlation_gemm<TensorCore<Tf32, 128, 32>, float, Gather>>();
}

}  // namespace cnnops::cuda
