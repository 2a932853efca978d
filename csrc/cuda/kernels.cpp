#include "kernels.h"

namespace cnnops::cuda {

std::vector<Kernel> all_kernels() {
  return joined(
      {conv2d_direct_kernels(), correlation_bfloat16_kernels(), correlation_double_kernels(),
       correlation_float_kernels(), correlation_half_kernels(), weight_grad_bfloat16_kernels(),
       weight_grad_double_kernels(), weight_grad_float_kernels(), weight_grad_half_kernels(),
       pool2d_avg_kernels(), pool2d_lp_kernels(), pool2d_max_kernels()});
}

}  // namespace cnnops::cuda
