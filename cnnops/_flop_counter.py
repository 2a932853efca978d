"""Lets torch.utils.flop_counter.FlopCounterMode count the convolutions."""

import math
from collections.abc import Sequence

import torch
from torch.utils.flop_counter import register_flop_formula


def convolution_flops(small_size: Sequence[int], weight_size: Sequence[int]) -> int:
    """FLOPs of a convolution or one of its gradients, from the sizes of output and weight."""
    return 2 * math.prod(small_size) * math.prod(weight_size[1:])


@register_flop_formula(torch.ops.cnnops.conv2d)
def _conv2d(input_size, weight_size, *_, out_shape, **__):
    return convolution_flops(out_shape, weight_size)


@register_flop_formula([torch.ops.cnnops.conv_transpose2d, torch.ops.cnnops.conv2d_input_grad])
def _input_grad(grad_output_size, weight_size, *_, **__):
    return convolution_flops(grad_output_size, weight_size)


@register_flop_formula(torch.ops.cnnops.conv2d_weight_grad)
def _weight_grad(grad_output_size, input_size, weight_size, *_, **__):
    return convolution_flops(grad_output_size, weight_size)
