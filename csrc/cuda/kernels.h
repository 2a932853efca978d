// All kernels of this build, one table a source file.
#pragma once

#include "kernel_table.h"

namespace cnnops::cuda {

std::vector<Kernel> conv2d_direct_kernels();
std::vector<Kernel> correlation_bfloat16_kernels();
std::vector<Kernel> correlation_double_kernels();
std::vector<Kernel> correlation_float_kernels();
std::vector<Kernel> correlation_half_kernels();
std::vector<Kernel> weight_grad_bfloat16_kernels();
std::vector<Kernel> weight_grad_double_kernels();
std::vector<Kernel> weight_grad_float_kernels();
std::vector<Kernel> weight_grad_half_kernels();
std::vector<Kernel> pool2d_avg_kernels();
std::vector<Kernel> pool2d_lp_kernels();
std::vector<Kernel> pool2d_max_kernels();

// All of the above.
std::vector<Kernel> all_kernels();

}  // namespace cnnops::cuda
