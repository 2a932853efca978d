// The gradient of a square filter of kTaps taps and stride 2, kTaps odd: 2 x 2 results at a place, all
// from the same samples.
#pragma once

#include "../correlation.h"
#include "vector.h"

namespace cnnops::CNNOPS_TARGET {

// Result 2 * i + phase adds up source i + shift - t through filter element residue + 2 * t, where
// residue and shift are those of phase + padding modulo and divided by 2, but for whole steps of
// the padding, which the lattice's offset holds.
template <int kTaps, int kPadding>
struct Phase {
  static constexpr int residue(int phase) { return (phase + kPadding) % 2; }
  static constexpr int shift(int phase) { return (phase + kPadding) / 2; }
  static constexpr int taps(int phase) { return (kTaps + 1 - residue(phase)) / 2; }
  static constexpr int reach(int phase) { return shift(phase) - taps(phase) + 1; }
  static constexpr int kFirst = reach(0) < reach(1) ? reach(0) : reach(1);
  static constexpr int kSamples = shift(1) - kFirst + 1;  // that the results of a place read

  // The filter element that meets the place's sample `index`, or -1.
  static constexpr int tap(int phase, int index) {
    const int t = shift(phase) - kFirst - index;
    return t >= 0 && t < taps(phase) ? residue(phase) + 2 * t : -1;
  }
};

// The places along an axis, and the samples they read.
template <class P>
CorrelationAxis stride_two_axis(const WindowAxis& axis) {
  return {.source = axis.output,
          .first = 0,
          .step = 2,
          .count = divide_up(axis.input, 2),
          .stride = 1,
          .offset = divide_down(axis.padding, 2) + P::kFirst,
          .dilation = 1,
          .taps = P::kSamples,
          .tap_first = 0,
          .tap_step = 1};
}

// Whether a problem is such a gradient, of dense taps and one parity of the padding on both axes.
CNNOPS_INLINE bool is_stride_two_gradient(const Conv2dProblem& problem) {
  const auto is = [](Pair pair, int64_t value) { return pair.h == value && pair.w == value; };
  const Conv2dShape& shape = problem.shape;
  return problem.pass == Conv2dPass::kInputGrad && is(shape.stride, 2) && is(shape.dilation, 1) &&
         is(shape.kernel, shape.kernel.h) && (shape.padding.top - shape.padding.left) % 2 == 0;
}

}  // namespace cnnops::CNNOPS_TARGET
