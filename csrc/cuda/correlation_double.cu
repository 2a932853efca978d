// Correlations of float64.
#include "correlation_gemm.cuh"
#include "kernels.h"
#include "simt.cuh"
#include "source_chunks.cuh"
#include "source_gather.cuh"

namespace cnnops::cuda {

std::vector<Kernel> correlation_double_kernels() {
  return table_of<&correlation_gemm<Simt<double, 64, 64>, double, Chunks>,
                  &correlation_gemm<Simt<double, 64, 64>, double, Gather>,
                  &correlation_gemm<Simt<double, 64, 32>, double, Chunks>,
                  &correlation_gemm<Simt<double, 64, 32>, double, Gather>>();
}

}  // namespace cnnops::cuda
