"""Gradients of average pooling: avg_pool2d and avg_pool2d_backward are each other's transpose."""

import torch
from torch.autograd import Function

from .._dispatch import call, differentiable, runs

_avg_pool2d = torch.ops.cnnops.avg_pool2d.default
_spread = torch.ops.cnnops.avg_pool2d_backward.default


@runs(_avg_pool2d)
class AvgPool2dFunction(Function):
    """input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override.

    Sizes are (height, width); see functional.avg_pool2d.
    """

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.input_size = inputs[0].shape[2:]
        ctx.window = inputs[1:]

    @staticmethod
    def backward(ctx, grad_output):
        grad_input = call(_spread, (grad_output,), ctx.input_size, *ctx.window)
        return grad_input, None, None, None, None, None, None


@differentiable(_spread)
class _Spread(Function):
    """grad_output, input_size and the arguments of avg_pool2d from kernel_size on."""

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.window = inputs[2:]

    @staticmethod
    def backward(ctx, grad):
        grad_grad_output = call(_avg_pool2d, (grad,), *ctx.window)
        return grad_grad_output, None, None, None, None, None, None, None
