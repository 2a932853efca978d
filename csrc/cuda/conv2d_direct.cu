// Convolutions without tiles, and what goes before and after those with tiles.
#include "kernels.h"
#include "conv2d_tables.cuh"
#include "correlation_direct.cuh"
#include "pixel_sums.cuh"
#include "sum_partials.cuh"

namespace cnnops::cuda {

std::vector<Kernel> conv2d_direct_kernels() {
  return table_of<&tabulate_taps, &pack_filter<float, float>, &pack_filter<float, Tf32>,
                  &pack_filter<double, double>, &pack_filter<__half, __half>,
                  &pack_filter<__nv_bfloat16, __nv_bfloat16>, &pack_filter<__nv_bfloat16, float>,
                  &correlation_direct<float>, &correlation_direct<double>,
                  &correlation_direct<__half>, &correlation_direct<__nv_bfloat16>,
                  &pixel_sums<float, WeightGrad>, &pixel_sums<float, BiasGrad>,
                  &pixel_sums<double, WeightGrad>, &pixel_sums<double, BiasGrad>,
                  &pixel_sums<__half, WeightGrad>, &pixel_sums<__half, BiasGrad>,
                  &pixel_sums<__nv_bfloat16, WeightGrad>, &pixel_sums<__nv_bfloat16, BiasGrad>,
                  &sum_partials<float>, &sum_partials<double>, &sum_partials<__half>,
                  &sum_partials<__nv_bfloat16>>();
}

}  // namespace cnnops::cuda
