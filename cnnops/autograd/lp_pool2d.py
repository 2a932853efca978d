"""Gradients of Lp pooling, to any order.

With y = (sum x^p)^(1/p) over a window, the operator lp_pool2d_backward(g, x, y) is

    x^(p-1) U(g y^(1-p))

where U gives every sample the sum over its windows, and its transpose S every window the sum over
its samples. S and U are average pooling and its transpose, times the samples of a window, which
also scales windows that hang over the end as lp_pool2d does. The gradients below treat g, x and y
as independent, with h the gradient of the result:

    g: y^(1-p) S(h x^(p-1))
    x: (p-1) x^(p-2) h U(g y^(1-p))
    y: (1-p) g / y times the gradient of g

The last one has no y^(-p), which leaves the range of float32 long before its products do. Windows
with y = 0 contribute nothing.
"""

import torch
from torch.autograd import Function

from .._dispatch import call, differentiable

_lp_pool2d = torch.ops.cnnops.lp_pool2d.default
_gradient = torch.ops.cnnops.lp_pool2d_backward.default
_avg_pool2d = torch.ops.cnnops.avg_pool2d.default
_spread = torch.ops.cnnops.avg_pool2d_backward.default


@differentiable(_lp_pool2d)
class LPPool2dFunction(Function):
    """input, norm_type, kernel_size, stride, padding, ceil_mode: see functional.lp_pool2d.

    Sizes are (height, width).
    """

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0], output)
        ctx.norm_type, ctx.window = inputs[1], inputs[2:]

    @staticmethod
    def backward(ctx, grad_output):
        input, output = ctx.saved_tensors
        grad_input = call(_gradient, (grad_output, input, output), ctx.norm_type, *ctx.window)
        return grad_input, None, None, None, None, None


@differentiable(_gradient)
class _Gradient(Function):
    """grad_output, input, output, norm_type, kernel_size, stride, padding, ceil_mode."""

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:3])
        ctx.norm_type, ctx.window = inputs[3], inputs[4:]

    @staticmethod
    def backward(ctx, grad):
        grad_output, input, output = ctx.saved_tensors
        p = ctx.norm_type
        grad_grad_output = grad_input = grad_of_output = None
        if ctx.needs_input_grad[0] or ctx.needs_input_grad[2]:
            sums = _window_sums(grad * _power(input, p - 1), ctx.window)
            grad_grad_output = _masked_power(output, 1 - p) * sums
        if ctx.needs_input_grad[1]:
            shares = grad_output * _masked_power(output, 1 - p)
            spread = _spread_sums(shares, input.shape[2:], ctx.window)
            grad_input = _power_slope(input, p - 1) * grad * spread
        if ctx.needs_input_grad[2]:
            grad_of_output = (1 - p) * grad_output * _masked_power(output, -1) * grad_grad_output
        return grad_grad_output, grad_input, grad_of_output, None, None, None, None, None


def _window_sums(values, window):
    kernel_size, *rest = window
    averages = call(_avg_pool2d, (values,), kernel_size, *rest, True, None)
    return kernel_size[0] * kernel_size[1] * averages


def _spread_sums(values, input_size, window):
    kernel_size, *rest = window
    averages = call(_spread, (values,), input_size, kernel_size, *rest, True, None)
    return kernel_size[0] * kernel_size[1] * averages


def _power(base, exponent):
    """base^exponent; 0 where that is infinite."""
    return base.pow(exponent) if exponent >= 0 else _masked_power(base, exponent)


def _masked_power(base, exponent):
    """base^exponent; 0 where base is 0, and no NaN in a derivative there."""
    zero = base == 0
    return torch.where(zero, 0, torch.where(zero, 1, base).pow(exponent))


def _power_slope(base, exponent):
    """The derivative of base^exponent; 0 where that is infinite."""
    return exponent * _power(base, exponent - 1) if exponent else torch.zeros_like(base)
