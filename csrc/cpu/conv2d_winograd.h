// The Winograd algorithms: float32 and half types, one group, square filters of one size.
#pragma once

#include "dtype_switch.h"
#include "winograd_correlation.h"
#include "winograd_weight_grad.h"

namespace cnnops::CNNOPS_TARGET {

// A family is a scheme for the forward pass and the weight gradient, and one for the input gradient.
template <class Scheme>
struct StrideOneFamily {
  using Forward = Scheme;
  using InputGrad = Scheme;
  static constexpr int kStride = 1;
  static constexpr bool kIsRotated = true;  // the filter of the input gradient

  static double more_moves(const Conv2dProblem&) { return 0; }
  static TileAxis input_grad_tiles(const WindowAxis& axis) { return gradient_tiles<Scheme>(axis); }
};

struct StrideTwoFamily {
  using Forward = StrideTwo;
  using InputGrad = StrideTwoTransposed;
  static constexpr int kStride = 2;
  static constexpr bool kIsRotated = false;

  static double more_moves(const Conv2dProblem& problem) {
    if (problem.pass == Conv2dPass::kForward) return problem.channels_last ? 4 : 0;
    if (problem.pass == Conv2dPass::kInputGrad) return problem.channels_last ? 44 : 18;
    return problem.channels_last ? 42 : 6;
  }
  static TileAxis input_grad_tiles(const WindowAxis& axis) {
    return stride_two_gradient_tiles<InputGrad>(axis);
  }
};

using Winograd4x4Of3x3 = StrideOneFamily<StrideOne<SixPoints, 4, 3>>;
using Winograd2x2Of3x3 = StrideOneFamily<StrideOne<FourPoints, 2, 3>>;
using Winograd2x2Of5x5 = StrideOneFamily<StrideOne<SixPoints, 2, 5>>;
using Winograd4x4Of5x5 = StrideOneFamily<StrideOne<EightPoints, 4, 5>>;
using Winograd4x4Of3x3Stride2 = StrideTwoFamily;

template <class Family, class T>
class WinogradPasses {
 public:
  static int64_t workspace(const Conv2dProblem& problem, int64_t threads) {
    if (problem.pass == Conv2dPass::kWeightGrad)
      return WeightGrad(problem.shape, {}).workspace(threads);
    const CorrelationOperands<T> operands = correlation_operands<T>(problem, {});
    return problem.pass == Conv2dPass::kForward
               ? forward(problem, operands, threads).workspace(threads)
               : input_grad(problem, operands, threads).workspace(threads);
  }

  static void run(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                  const Execution& execution) {
    if (problem.pass == Conv2dPass::kWeightGrad)
      return WeightGrad(problem.shape, tensors).run(execution);
    const CorrelationOperands<T> operands = correlation_operands<T>(problem, tensors);
    if (problem.pass == Conv2dPass::kForward) {
      forward(problem, operands, execution.threads).run(execution);
    } else {
      input_grad(problem, operands, execution.threads).run(execution);
    }
  }

 private:
  using Forward = WinogradCorrelation<typename Family::Forward, T>;
  using InputGrad = WinogradCorrelation<typename Family::InputGrad, T>;
  using WeightGrad = WinogradWeightGrad<typename Family::Forward, T>;

  static Forward forward(const Conv2dProblem& problem, const CorrelationOperands<T>& operands,
                         int64_t threads) {
    return {operands, forward_grid<typename Family::Forward>(problem.shape), false, threads};
  }
  static InputGrad input_grad(const Conv2dProblem& problem, const CorrelationOperands<T>& operands,
                              int64_t threads) {
    const WindowGrid grid = window_grid(problem.shape);
    return {operands,
            {Family::input_grad_tiles(grid.h), Family::input_grad_tiles(grid.w)},
            Family::kIsRotated,
            threads};
  }
};

template <class Family>
struct Winograd {
  static bool supports(const Conv2dProblem& problem) {
    const Conv2dShape& shape = problem.shape;
    const int64_t channels = smaller(shape.in_channels, shape.out_channels);
    return problem.dtype != DType::kFloat64 && shape.groups == 1 && channels >= kLeastChannels &&
           is(shape.kernel, Family::Forward::kTaps) && is(shape.stride, Family::kStride) &&
           is(shape.dilation, 1);
  }

  // A tile's products, and what it costs to transform it: about as many multiply-adds a product and
  // channel as these, and the family's more. The filter is transformed once a call, whose batch does
  // not count: it is shared between few images.
  static double cost(const Conv2dProblem& problem) {
    using Scheme = typename Family::Forward;
    constexpr double kSource = 10, kResult = 7, kFilter = 9, kImages = 4;
    const Conv2dShape& shape = problem.shape;
    const TileGrid grid = forward_grid<Scheme>(shape);
    const double in = double(round_up(shape.in_channels, lanes<float>)),
                 out = double(round_up(shape.out_channels, lanes<float>));
    const double more = Family::more_moves(problem);
    return double(grid.products<Scheme>()) *
               (in * out + (kSource + more) * in + (kResult + more) * out) +
           kWinogradProducts<Scheme> * kFilter / kImages * in * out;
  }

  static int64_t workspace(const Conv2dProblem& problem, int64_t threads) {
    return with_storage_of<float>(problem.dtype, [&]<class T>() {
      return WinogradPasses<Family, T>::workspace(problem, threads);
    });
  }
  static void run(const Conv2dProblem& problem, const Conv2dTensors& tensors,
                  const Execution& execution) {
    with_storage_of<float>(problem.dtype, [&]<class T>() {
      WinogradPasses<Family, T>::run(problem, tensors, execution);
    });
  }

 private:
  // Fewer leave the vectors of the transforms empty.
  static constexpr int64_t kLeastChannels = 8;

  static bool is(const Pair& pair, int64_t value) { return pair.h == value && pair.w == value; }
};

}  // namespace cnnops::CNNOPS_TARGET
