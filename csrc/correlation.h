// A window sum over a lattice of outputs: the one loop nest that a convolution, its input gradient,
// a pooling and its gradient share. Free of PyTorch's headers.
//
// Along each axis, output i of the lattice lies at `first + i * step` of the output tensor, and its
// tap t reads sample `i * stride + offset + t * dilation` of the source, where that lies inside,
// with filter element `tap_first + t * tap_step`.
//
// Forward there is one lattice that covers the output; stride, padding and dilation are the
// convolution's. For the input gradient, input row h receives grad_output row p through filter row
// r where h + padding = p * stride + r * dilation. All h of one residue modulo the stride see the
// same filter rows, at consecutive p: a correlation of stride 1 with every few rows of the filter,
// read backwards. That is the convolution with the filter rotated by 180 degrees, without the
// products by the zeros that a stride puts between the samples of grad_output.
#pragma once

#include <cstdint>
#include <vector>

#include "conv2d_shape.h"
#include "pool2d_shape.h"

namespace cnnops {

struct CorrelationAxis {
  int64_t source;                    // samples in the source
  int64_t first, step, count;        // outputs
  int64_t stride, offset, dilation;  // source samples
  int64_t taps, tap_first, tap_step;
};

struct Correlation {
  CorrelationAxis h, w;
};

// Lattices of rows and of columns: their products are the correlations of an operation.
struct Lattices {
  std::vector<CorrelationAxis> rows, columns;
};

// One axis of a window operation: its sizes, and the zeros before its first sample.
struct WindowAxis {
  int64_t input, output, kernel, stride, padding, dilation;
};
struct WindowGrid {
  WindowAxis h, w;
};

WindowGrid window_grid(const Conv2dShape& shape);
WindowGrid window_grid(const Pool2dShape& shape);

Lattices forward_lattices(const WindowGrid& grid);

// The same lattices without the taps that lie outside the source for every output.
Lattices reachable(Lattices lattices);

// The lattices of the input gradient that any filter element reaches.
Lattices gradient_lattices(const WindowGrid& grid);

// The same axis with a stride as long as its window, if it has but one window and the stride is
// therefore free. Its gradient lattices then have one tap each, instead of one lattice with many
// taps, all but one of them outside.
WindowAxis separate_single_window(const WindowAxis& axis);

// Whether every position of a map lies on one of the lattices, which share none.
bool covers(const Lattices& lattices, Pair map);

}  // namespace cnnops
