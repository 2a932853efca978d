// The operators by their definitions in float64, one product at a time.
#pragma once

#include "../../csrc/conv2d_problem.h"
#include "../../csrc/pool2d_problem.h"
#include "tensors.h"

namespace native {

using cnnops::Conv2dPass;
using cnnops::Conv2dShape;
using cnnops::Pair;
using cnnops::Pool2dShape;

inline Size4 input_size(const Conv2dShape& s) {
  return {s.batch, s.in_channels, s.input.h, s.input.w};
}
inline Size4 weight_size(const Conv2dShape& s) {
  return {s.out_channels, s.in_channels / s.groups, s.kernel.h, s.kernel.w};
}
inline Size4 output_size(const Conv2dShape& s) {
  return {s.batch, s.out_channels, s.output.h, s.output.w};
}

struct Conv2dValues {
  Values input, weight, output;  // output is grad_output
  std::vector<double> bias;
};

// Calls body(n, k, p, q, c, y, x, r, s) for every product; c counts within a group, y and x may lie
// in the padding.
template <class Body>
void for_each_product(const Conv2dShape& shape, Body body) {
  for_each(output_size(shape), [&](int64_t n, int64_t k, int64_t p, int64_t q) {
    for (int64_t c = 0; c < shape.in_channels / shape.groups; ++c)
      for (int64_t r = 0; r < shape.kernel.h; ++r)
        for (int64_t s = 0; s < shape.kernel.w; ++s) {
          const int64_t y = p * shape.stride.h - shape.padding.top + r * shape.dilation.h;
          const int64_t x = q * shape.stride.w - shape.padding.left + s * shape.dilation.w;
          body(n, k, p, q, c, y, x, r, s);
        }
  });
}

// The result of a pass.
inline Values convolve(const Conv2dShape& shape, Conv2dPass pass, const Conv2dValues& values) {
  const int64_t inputs = shape.in_channels / shape.groups,
                outputs = shape.out_channels / shape.groups;
  Values result(pass == Conv2dPass::kForward     ? output_size(shape)
                : pass == Conv2dPass::kInputGrad ? input_size(shape)
                                                 : weight_size(shape));
  if (pass != Conv2dPass::kWeightGrad && !values.bias.empty()) {
    for_each(result.size, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
      result.at(n, c, h, w) = values.bias[c];
    });
  }
  for_each_product(shape, [&](int64_t n, int64_t k, int64_t p, int64_t q, int64_t c, int64_t y,
                              int64_t x, int64_t r, int64_t s) {
    if (y < 0 || y >= shape.input.h || x < 0 || x >= shape.input.w) return;
    const int64_t channel = k / outputs * inputs + c;
    switch (pass) {
      case Conv2dPass::kForward:
        result.at(n, k, p, q) += values.input.get(n, channel, y, x) * values.weight.get(k, c, r, s);
        break;
      case Conv2dPass::kInputGrad:
        result.at(n, channel, y, x) +=
            values.output.get(n, k, p, q) * values.weight.get(k, c, r, s);
        break;
      case Conv2dPass::kWeightGrad:
        result.at(k, c, r, s) += values.output.get(n, k, p, q) * values.input.get(n, channel, y, x);
    }
  });
  return result;
}

// The same sums over absolute values.
inline Conv2dValues absolute(Conv2dValues values) {
  for (std::vector<double>* each :
       {&values.input.of, &values.weight.of, &values.output.of, &values.bias})
    for (double& value : *each) value = std::fabs(value);
  return values;
}

// What the error of a Winograd algorithm is proportional to, where every sample counts as much as
// the largest of its map, also in the padding. That of tests/convolutions.py, which keeps to a tile,
// is tighter.
inline Values tile_magnitude(const Conv2dShape& shape, Conv2dPass pass,
                             const Conv2dValues& values) {
  const auto of_map = [](const Values& from, int64_t n, int64_t c, auto fold) {
    double folded = 0;
    for_each({1, 1, from.size.h, from.size.w}, [&](int64_t, int64_t, int64_t h, int64_t w) {
      folded = fold(folded, std::fabs(from.get(n, c, h, w)));
    });
    return folded;
  };
  const auto largest = [](double a, double b) { return std::max(a, b); };
  const auto sum = [](double a, double b) { return a + b; };
  const int64_t inputs = shape.in_channels / shape.groups,
                outputs = shape.out_channels / shape.groups;
  Values result = convolve(shape, pass, absolute(values));
  Values added(result.size);
  for_each(
      {shape.batch, shape.out_channels, inputs, 1}, [&](int64_t n, int64_t k, int64_t c, int64_t) {
        const int64_t channel = k / outputs * inputs + c;
        const bool forward = pass == Conv2dPass::kForward;
        const double source = pass == Conv2dPass::kInputGrad
                                  ? of_map(values.output, n, k, largest)
                                  : of_map(values.input, n, channel, largest);
        const double other = pass == Conv2dPass::kWeightGrad ? of_map(values.output, n, k, sum)
                                                             : of_map(values.weight, k, c, sum);
        const int64_t first = pass == Conv2dPass::kWeightGrad ? k : n;
        const int64_t second = pass == Conv2dPass::kWeightGrad ? c : forward ? k : channel;
        for_each({1, 1, result.size.h, result.size.w}, [&](int64_t, int64_t, int64_t h, int64_t w) {
          added.at(first, second, h, w) += source * other;
        });
      });
  for (size_t i = 0; i < result.of.size(); ++i) result.of[i] = std::max(result.of[i], added.of[i]);
  return result;
}

// Calls body(n, c, p, q, y, x, offset) for every sample inside the map that a window covers.
template <class Body>
void for_each_sample(const Pool2dShape& shape, Body body) {
  for_each({shape.batch, shape.channels, shape.output.h, shape.output.w},
           [&](int64_t n, int64_t c, int64_t p, int64_t q) {
             for (int64_t r = 0; r < shape.kernel.h; ++r)
               for (int64_t s = 0; s < shape.kernel.w; ++s) {
                 const int64_t y = p * shape.stride.h - shape.padding.h + r * shape.dilation.h;
                 const int64_t x = q * shape.stride.w - shape.padding.w + s * shape.dilation.w;
                 if (y >= 0 && y < shape.input.h && x >= 0 && x < shape.input.w)
                   body(n, c, p, q, y, x, r * shape.kernel.w + s);
               }
           });
}

inline Size4 input_size(const Pool2dShape& s) {
  return {s.batch, s.channels, s.input.h, s.input.w};
}
inline Size4 output_size(const Pool2dShape& s) {
  return {s.batch, s.channels, s.output.h, s.output.w};
}

// The offset of each window's maximum, the first of equal ones.
inline Values max_offsets(const Pool2dShape& shape, const Values& input) {
  Values offsets(output_size(shape)), best(output_size(shape));
  std::fill(best.of.begin(), best.of.end(), -HUGE_VAL);
  for_each_sample(
      shape, [&](int64_t n, int64_t c, int64_t p, int64_t q, int64_t y, int64_t x, int64_t offset) {
        if (!(input.get(n, c, y, x) > best.get(n, c, p, q))) return;
        best.at(n, c, p, q) = input.get(n, c, y, x);
        offsets.at(n, c, p, q) = double(offset);
      });
  return offsets;
}

// The sample at each window's offset, and the sum of the gradients at the samples they come from.
inline Values max_select(const Pool2dShape& shape, const Values& input, const Values& offsets) {
  Values output(output_size(shape));
  for_each_sample(
      shape, [&](int64_t n, int64_t c, int64_t p, int64_t q, int64_t y, int64_t x, int64_t offset) {
        if (offsets.get(n, c, p, q) == double(offset))
          output.at(n, c, p, q) = input.get(n, c, y, x);
      });
  return output;
}
inline Values max_backward(const Pool2dShape& shape, const Values& grad, const Values& offsets) {
  Values grad_input(input_size(shape));
  for_each_sample(
      shape, [&](int64_t n, int64_t c, int64_t p, int64_t q, int64_t y, int64_t x, int64_t offset) {
        if (offsets.get(n, c, p, q) == double(offset))
          grad_input.at(n, c, y, x) += grad.get(n, c, p, q);
      });
  return grad_input;
}

// Samples of the padded map in a window along one axis, or of the map alone.
inline int64_t window_size(int64_t at, int64_t kernel, int64_t stride, int64_t padding,
                           int64_t input, bool padded) {
  const int64_t begin = at * stride - padding, end = std::min(begin + kernel, input + padding);
  return padded ? end - begin : std::min(end, input) - std::max<int64_t>(begin, 0);
}
inline double window_size(const Pool2dShape& s, int64_t p, int64_t q, bool padded) {
  return double(window_size(p, s.kernel.h, s.stride.h, s.padding.h, s.input.h, padded) *
                window_size(q, s.kernel.w, s.stride.w, s.padding.w, s.input.w, padded));
}

inline Values avg_forward(const Pool2dShape& shape, const Values& input, bool padded,
                          int64_t divisor) {
  Values output(output_size(shape));
  for_each_sample(
      shape, [&](int64_t n, int64_t c, int64_t p, int64_t q, int64_t y, int64_t x, int64_t) {
        output.at(n, c, p, q) += input.get(n, c, y, x) /
                                 (divisor > 0 ? double(divisor) : window_size(shape, p, q, padded));
      });
  return output;
}
inline Values avg_backward(const Pool2dShape& shape, const Values& grad, bool padded,
                           int64_t divisor) {
  Values grad_input(input_size(shape));
  for_each_sample(shape, [&](int64_t n, int64_t c, int64_t p, int64_t q, int64_t y, int64_t x,
                             int64_t) {
    grad_input.at(n, c, y, x) +=
        grad.get(n, c, p, q) / (divisor > 0 ? double(divisor) : window_size(shape, p, q, padded));
  });
  return grad_input;
}

// Of inputs that are not negative: (kH kW / window size * sum x^norm)^(1 / norm).
inline double lp_scale(const Pool2dShape& s, int64_t p, int64_t q) {
  return double(s.kernel.h * s.kernel.w) / window_size(s, p, q, true);
}
inline Values lp_forward(const Pool2dShape& shape, const Values& input, double norm) {
  Values output(output_size(shape));
  for_each_sample(
      shape, [&](int64_t n, int64_t c, int64_t p, int64_t q, int64_t y, int64_t x, int64_t) {
        output.at(n, c, p, q) += lp_scale(shape, p, q) * std::pow(input.get(n, c, y, x), norm);
      });
  for (double& value : output.of) value = std::pow(value, 1 / norm);
  return output;
}
inline Values lp_backward(const Pool2dShape& shape, const Values& input, const Values& output,
                          const Values& grad, double norm) {
  Values grad_input(input_size(shape));
  for_each_sample(
      shape, [&](int64_t n, int64_t c, int64_t p, int64_t q, int64_t y, int64_t x, int64_t) {
        const double y_of_window = output.get(n, c, p, q);
        if (y_of_window == 0) return;
        grad_input.at(n, c, y, x) += grad.get(n, c, p, q) * lp_scale(shape, p, q) *
                                     std::pow(input.get(n, c, y, x) / y_of_window, norm - 1);
      });
  return grad_input;
}

}  // namespace native
