// Weight gradients of float32: exact products, and on tensor cores in TF32.
#include "kernels.h"
#include "grad_gather.cuh"
#include "simt.cuh"
#include "tensor_core.cuh"

namespace cnnops::cuda {

std::vector<Kernel> weight_grad_float_kernels() {
  return table_of<&weight_grad_gemm<Simt<float, 128, 128>, float, ChannelLanes>,
                  &weight_grad_gemm<Simt<float, 128, 128>, float, PixelLanes>,
                  &weight_grad_gemm<Simt<float, 64, 64>, float, ChannelLanes>,
                  &weight_grad_gemm<Simt<float, 64, 64>, float, PixelLanes>,
                  &weight_grad_gemm<TensorCore<Tf32, 128, 128>, float, ChannelLanes>,
                  &weight_grad_gemm<TensorCore<Tf32, 128, 128>, float, PixelLanes>,
                  &weight_grad_gemm<TensorCore<Tf32, 64, 64>, float, ChannelLanes>,
                  &weight_grad_gemm<TensorCore<Tf32, 64, 64>, float, PixelLanes>>();
}

}  // namespace cnnops::cuda
