// The kernels of max pooling.
#include "pool2d_max.cuh"

#include "kernels.h"

namespace cnnops::cuda {
namespace {

template <class T, int width>
std::vector<Kernel> window_kernels() {
  return table_of<
      &pool2d_rows<MaxForward<T>>, &pool2d_channels<MaxForward<T>, 1>,
      &pool2d_channels<MaxForward<T>, width>, &pool2d_rows<MaxForwardWithOffsets<T, uint8_t>>,
      &pool2d_channels<MaxForwardWithOffsets<T, uint8_t>, 1>,
      &pool2d_channels<MaxForwardWithOffsets<T, uint8_t>, width>,
      &pool2d_rows<MaxForwardWithOffsets<T, int32_t>>,
      &pool2d_channels<MaxForwardWithOffsets<T, int32_t>, 1>,
      &pool2d_channels<MaxForwardWithOffsets<T, int32_t>, width>,
      &pool2d_rows<MaxBackward<T, uint8_t>>, &pool2d_channels<MaxBackward<T, uint8_t>, 1>,
      &pool2d_channels<MaxBackward<T, uint8_t>, width>, &pool2d_rows<MaxBackward<T, int32_t>>,
      &pool2d_channels<MaxBackward<T, int32_t>, 1>,
      &pool2d_channels<MaxBackward<T, int32_t>, width>, &max_pool2d_select<T, uint8_t>,
      &max_pool2d_select<T, int32_t>>();
}

}  // namespace

std::vector<Kernel> pool2d_max_kernels() {
  return joined({window_kernels<double, 2>(), window_kernels<float, 4>(),
                 window_kernels<__nv_bfloat16, 8>(), window_kernels<__half, 8>(),
                 table_of<&max_pool2d_indices<uint8_t>, &max_pool2d_indices<int32_t>>()});
}

}  // namespace cnnops::cuda
