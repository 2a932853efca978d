// Convolution without tiles (correlation_direct.cuh, pixel_sums.cuh).
#pragma once

#include "conv2d_plan.h"
#include "lattice_tables.h"

namespace cnnops::cuda {

Plan plan_correlation_direct(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                             char* workspace);
Plan plan_weight_grad_direct(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                             char* workspace);

// Computes the outputs of a table's lattices.
Launch direct_launch(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                     const LatticeTable& lattices);

// Where no lattice covers an output, or there is nothing to sum, it is the bias: writes it
// everywhere, for the lattices to write over.
void plan_bias_where_uncovered(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                               const Lattices& lattices, Plan& plan);

}  // namespace cnnops::cuda
