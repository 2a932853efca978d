"""Gradients of the convolution operators.

They are bilinear and closed under differentiation. With x an input, w a weight, g a grad_output:

    conv2d(x, w)             x: conv2d_input_grad(g, w)    w: conv2d_weight_grad(g, x)
    conv2d_input_grad(g, w)  g: conv2d(h, w)               w: conv2d_weight_grad(g, h)
    conv2d_weight_grad(g, x) g: conv2d(x, h)               x: conv2d_input_grad(g, h)

where h, the gradient of the result, has the shape of an input in the second line and of a weight
in the third. conv_transpose2d(g, w) is conv2d_input_grad with a bias.
"""

import torch
from torch.autograd import Function

from .._dispatch import call, differentiable, runs

_conv2d = torch.ops.cnnops.conv2d.default
_conv_transpose2d = torch.ops.cnnops.conv_transpose2d.default
_input_grad = torch.ops.cnnops.conv2d_input_grad.default
_weight_grad = torch.ops.cnnops.conv2d_weight_grad.default
_bias_grad = torch.ops.cnnops.conv2d_bias_grad.default


def _save_operands(ctx, inputs, output):
    """Saves each of the two operands if the gradient of the other one is asked for."""
    first, second = inputs[:2]
    ctx.save_for_backward(
        first if ctx.needs_input_grad[1] else None, second if ctx.needs_input_grad[0] else None
    )
    ctx.first_size, ctx.second_size = first.shape, second.shape
    ctx.geometry = inputs[-4:]  # stride, padding, dilation, groups


@runs(_conv2d)
class Conv2dFunction(Function):
    """input, weight, bias, stride, padding, dilation, groups: see functional.conv2d.

    stride and dilation are (height, width), padding is (top, bottom, left, right).
    """

    setup_context = staticmethod(_save_operands)

    @staticmethod
    def backward(ctx, grad_output):
        input, weight = ctx.saved_tensors
        grad_input = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_input = call(_input_grad, (grad_output, weight), ctx.first_size, *ctx.geometry)
        if ctx.needs_input_grad[1]:
            grad_weight = call(_weight_grad, (grad_output, input), ctx.second_size, *ctx.geometry)
        if ctx.needs_input_grad[2]:
            grad_bias = call(_bias_grad, (grad_output,))
        return grad_input, grad_weight, grad_bias, None, None, None, None


@runs(_conv_transpose2d)
class ConvTranspose2dFunction(Function):
    """input, weight, bias, stride, padding, dilation, groups: see functional.conv_transpose2d.

    stride and dilation are (height, width), padding is (top, bottom, left, right).
    """

    setup_context = staticmethod(_save_operands)

    @staticmethod
    def backward(ctx, grad_output):
        input, weight = ctx.saved_tensors
        grad_input = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_input = call(_conv2d, (grad_output, weight, None), *ctx.geometry)
        if ctx.needs_input_grad[1]:
            grad_weight = call(_weight_grad, (input, grad_output), ctx.second_size, *ctx.geometry)
        if ctx.needs_input_grad[2]:
            grad_bias = call(_bias_grad, (grad_output,))
        return grad_input, grad_weight, grad_bias, None, None, None, None


@differentiable(_input_grad)
class _InputGrad(Function):
    """grad_output, weight, input_size, stride, padding, dilation, groups."""

    setup_context = staticmethod(_save_operands)

    @staticmethod
    def backward(ctx, grad):
        grad_output, weight = ctx.saved_tensors
        grad_grad_output = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_grad_output = call(_conv2d, (grad, weight, None), *ctx.geometry)
        if ctx.needs_input_grad[1]:
            grad_weight = call(_weight_grad, (grad_output, grad), ctx.second_size, *ctx.geometry)
        return grad_grad_output, grad_weight, None, None, None, None, None


@differentiable(_weight_grad)
class _WeightGrad(Function):
    """grad_output, input, weight_size, stride, padding, dilation, groups."""

    setup_context = staticmethod(_save_operands)

    @staticmethod
    def backward(ctx, grad):
        grad_output, input = ctx.saved_tensors
        grad_grad_output = grad_input = None
        if ctx.needs_input_grad[0]:
            grad_grad_output = call(_conv2d, (input, grad, None), *ctx.geometry)
        if ctx.needs_input_grad[1]:
            grad_input = call(_input_grad, (grad_output, grad), ctx.second_size, *ctx.geometry)
        return grad_grad_output, grad_input, None, None, None, None, None


@differentiable(_bias_grad)
class _BiasGrad(Function):
    """grad_output."""

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.size = inputs[0].shape

    @staticmethod
    def backward(ctx, grad):
        return grad[:, None, None].expand(ctx.size)
