// The kernels of average pooling.
#include "pool2d_avg.cuh"

#include "kernels.h"

namespace cnnops::cuda {
namespace {

template <class T, int width>
std::vector<Kernel> window_kernels() {
  return table_of<&pool2d_rows<AvgForward<T>>, &pool2d_channels<AvgForward<T>, 1>,
                  &pool2d_channels<AvgForward<T>, width>, &pool2d_rows<AvgBackward<T>>,
                  &pool2d_channels<AvgBackward<T>, 1>, &pool2d_channels<AvgBackward<T>, width>>();
}

}  // namespace

std::vector<Kernel> pool2d_avg_kernels() {
  return joined({window_kernels<double, 2>(), window_kernels<float, 4>(),
                 window_kernels<__nv_bfloat16, 8>(), window_kernels<__half, 8>()});
}

}  // namespace cnnops::cuda
