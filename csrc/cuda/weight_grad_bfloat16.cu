// Weight gradients of bfloat16: on tensor cores, and widened to float where these do not know it.
#include "kernels.h"
#include "grad_chunks.cuh"
#include "grad_gather.cuh"
#include "simt.cuh"

namespace cnnops::cuda {

std::vector<Kernel> weight_grad_bfloat16_kernels() {
  return table_of<
      &weight_grad_gemm<TensorCore<__nv_bfloat16, 128, 128>, __nv_bfloat16, GradChunks>,
      &weight_grad_gemm<TensorCore<__nv_bfloat16, 128, 128>, __nv_bfloat16, ChannelLanes>,
      &weight_grad_gemm<TensorCore<__nv_bfloat16, 128, 128>, __nv_bfloat16, PixelLanes>,
      &weight_grad_gemm<TensorCore<__nv_bfloat16, 64, 64>, __nv_bfloat16, GradChunks>,
      &weight_grad_gemm<TensorCore<__nv_bfloat16, 64, 64>, __nv_bfloat16, ChannelLanes>,
      &weight_grad_gemm<TensorCore<__nv_bfloat16, 64, 64>, __nv_bfloat16, PixelLanes>,
      &weight_grad_gemm<Simt<float, 128, 128>, __nv_bfloat16, ChannelLanes>,
      &weight_grad_gemm<Simt<float, 128, 128>, __nv_bfloat16, PixelLanes>,
      &weight_grad_gemm<Simt<float, 64, 64>, __nv_bfloat16, ChannelLanes>,
      &weight_grad_gemm<Simt<float, 64, 64>, __nv_bfloat16, PixelLanes>>();
}

}  // namespace cnnops::cuda
