// The kernels of Lp pooling.
#include "pool2d_lp.cuh"

#include "kernels.h"

namespace cnnops::cuda {
namespace {

template <class T, class Power>
std::vector<Kernel> scalar_kernels() {
  return table_of<&pool2d_rows<LPForward<T, Power>>, &pool2d_channels<LPForward<T, Power>, 1>,
                  &pool2d_rows<LPBackward<T, Power>>, &pool2d_channels<LPBackward<T, Power>, 1>>();
}

template <class T, class Power, int width>
std::vector<Kernel> vector_kernels() {
  return table_of<&pool2d_channels<LPForward<T, Power>, width>,
                  &pool2d_channels<LPBackward<T, Power>, width>>();
}

template <class T, int width>
std::vector<Kernel> window_kernels() {
  return joined({scalar_kernels<T, FirstPower>(), vector_kernels<T, FirstPower, width>(),
                 scalar_kernels<T, SecondPower>(), vector_kernels<T, SecondPower, width>(),
                 scalar_kernels<T, AnyPower>()});
}

}  // namespace

std::vector<Kernel> pool2d_lp_kernels() {
  return joined({window_kernels<double, 2>(), window_kernels<float, 4>(),
                 window_kernels<__nv_bfloat16, 8>(), window_kernels<__half, 8>()});
}

}  // namespace cnnops::cuda
