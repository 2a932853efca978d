// Weight gradients of float64.
#include "kernels.h"
#include "grad_gather.cuh"
#include "simt.cuh"

namespace cnnops::cuda {

std::vector<Kernel> weight_grad_double_kernels() {
  return table_of<&weight_grad_gemm<Simt<double, 64, 64>, double, ChannelLanes>,
                  &weight_grad_gemm<Simt<double, 64, 64>, double, PixelLanes>>();
}

}  // namespace cnnops::cuda
