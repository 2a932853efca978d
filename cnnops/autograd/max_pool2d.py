"""Gradients of max pooling.

The offsets name the sample of each window that is the maximum. max_pool2d_backward scatters to
those samples and max_pool2d_select gathers from them; they are linear and each other's transpose.
"""

import torch
from torch.autograd import Function

from .._dispatch import call, differentiable, run, runs

_max_pool2d = torch.ops.cnnops.max_pool2d.default
_with_offsets = torch.ops.cnnops.max_pool2d_with_offsets.default
_scatter = torch.ops.cnnops.max_pool2d_backward.default
_select = torch.ops.cnnops.max_pool2d_select.default


@runs(_with_offsets)
class MaxPool2dFunction(Function):
    """input, kernel_size, stride, padding, dilation, ceil_mode: see functional.max_pool2d.

    Sizes are (height, width). Returns (output, offsets): an offset is the position kh * kW + kw of
    the maximum in its window, uint8 if the window has at most 256 samples, else int32.
    """

    @staticmethod
    def setup_context(ctx, inputs, output):
        offsets = output[1]
        ctx.mark_non_differentiable(offsets)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(offsets)
        ctx.input_size = inputs[0].shape[2:]
        ctx.window = inputs[1:5]  # kernel_size, stride, padding, dilation

    @staticmethod
    def backward(ctx, grad_output, _):
        (offsets,) = ctx.saved_tensors
        grad_input = None
        if grad_output is not None:
            grad_input = call(_scatter, (grad_output, offsets), ctx.input_size, *ctx.window)
        return grad_input, None, None, None, None, None


@differentiable(_max_pool2d)
class _MaxPool2dWithoutOffsets(Function):
    """input, kernel_size, stride, padding, dilation, ceil_mode; finds the offsets when needed."""

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])
        ctx.args = inputs[1:]

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        _, offsets = run(_with_offsets, input, *ctx.args)
        grad_input = call(_scatter, (grad_output, offsets), input.shape[2:], *ctx.args[:4])
        return grad_input, None, None, None, None, None


@differentiable(_scatter)
class _Scatter(Function):
    """grad_output, offsets, input_size, kernel_size, stride, padding, dilation."""

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[1])
        ctx.window = inputs[3:]

    @staticmethod
    def backward(ctx, grad):
        (offsets,) = ctx.saved_tensors
        return call(_select, (grad, offsets), *ctx.window), None, None, None, None, None, None


@differentiable(_select)
class _Select(Function):
    """input, offsets, kernel_size, stride, padding, dilation."""

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[1])
        ctx.input_size = inputs[0].shape[2:]
        ctx.window = inputs[2:]

    @staticmethod
    def backward(ctx, grad):
        (offsets,) = ctx.saved_tensors
        grad_input = call(_scatter, (grad, offsets), ctx.input_size, *ctx.window)
        return grad_input, None, None, None, None, None
