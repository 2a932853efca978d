// Weight gradients of half types on tensor cores.
#include "kernels.h"
#include "grad_chunks.cuh"
#include "grad_gather.cuh"

namespace cnnops::cuda {

std::vector<Kernel> weight_grad_half_kernels() {
  return table_of<&weight_grad_gemm<TensorCore<__half, 128, 128>, __half, GradChunks>,
                  &weight_grad_gemm<TensorCore<__half, 128, 128>, __half, ChannelLanes>,
                  &weight_grad_gemm<TensorCore<__half, 128, 128>, __half, PixelLanes>,
                  &weight_grad_gemm<TensorCore<__half, 64, 64>, __half, GradChunks>,
                  &weight_grad_gemm<TensorCore<__half, 64, 64>, __half, ChannelLanes>,
                  &weight_grad_gemm<TensorCore<__half, 64, 64>, __half, PixelLanes>>();
}

}  // namespace cnnops::cuda
