"""The three convolutions: their calls, their exact results by torch in float64, and the bounds.

The error of a sum of products is bounded by that of the same sum over |x| |w|. A Winograd algorithm
sums products of transformed tiles instead: the error of a result is bounded by the samples of its
whole tile, so each |x| stands for the largest one that a tile may hold together with it. Then
magnitudes take that maximum over the padded map, since a window in the padding has a tile, too.
"""

import torch
import torch.nn.functional as F

from cases import data

WHICH = ["forward", "input_grad", "weight_grad"]

# What each reads beside a bias; the first decides the memory format of the problem.
READ = {
    "forward": ("input", "weight"),
    "input_grad": ("grad_output", "weight"),
    "weight_grad": ("grad_output", "input"),
}

# Extent of a tile less one, in samples of the input: how far apart two of its samples may lie.
TILE_REACH = {
    "winograd_2x2_3x3": 3,
    "winograd_4x4_3x3": 5,
    "winograd_2x2_5x5": 5,
    "winograd_4x4_5x5": 7,
    "winograd_4x4_3x3s2": 8,
}


def operands(case):
    """Values that all dtypes hold exactly."""
    return {
        "input": data(*case.input, salt="input"),
        "weight": data(*case.weight, salt="weight"),
        "bias": data(case.weight[0], salt="bias"),
        "grad_output": data(*case.output, salt="grad_output"),
    }


def call(operators, which, case, input, weight, bias, grad_output):
    """One of the three convolutions, by torch.ops.cnnops or by the oracle."""
    if which == "forward":
        return operators.conv2d(input, weight, bias, *case.options)
    if which == "input_grad":
        return operators.conv2d_input_grad(grad_output, weight, case.input, *case.options)
    return operators.conv2d_weight_grad(grad_output, input, case.weight, *case.options)


def exact(which, case, input, weight, bias, grad_output):
    """By torch, in the dtype of the operands, where the oracle is too slow."""
    return _sums(which, case, 0, input, weight, bias, grad_output)


def magnitude(which, case, algorithm, **tensors):
    """What the error of an algorithm is proportional to, in float64: sums over |x| |w|."""
    absolute = {name: None if t is None else t.double().abs() for name, t in tensors.items()}
    return _sums(which, case, TILE_REACH.get(algorithm, 0), **absolute)


def flushed_magnitude(which, case, algorithm, **tensors):
    """The sums over (1 + |x|) (1 + |w|): what flushing operands, products and sums can cost.

    Each of them that is flushed changes by less than the smallest normal number.
    """
    shifted = {name: None if t is None else t.double().abs() + 1 for name, t in tensors.items()}
    return magnitude(which, case, algorithm, **shifted)


def _sums(which, case, reach, input, weight, bias, grad_output):
    geometry = {"stride": case.stride, "dilation": case.dilation, "groups": case.groups}
    top, bottom, left, right = case.padding
    if which == "input_grad":
        ring = [-(-reach // stride) for stride in case.stride]
        g = _spread(F.pad(grad_output, (ring[1], ring[1], ring[0], ring[0])), ring)
        first = ring[0] * case.stride[0] + top, ring[1] * case.stride[1] + left
        return _window(F.conv_transpose2d(g, weight, None, **geometry), first, case.input[2:])
    x = _spread(F.pad(input, (left, right, top, bottom)), (reach, reach))
    if which == "forward":
        return F.conv2d(x, weight, bias, **geometry)
    return torch.nn.grad.conv2d_weight(x, case.weight, grad_output, **geometry)


def _spread(x, reach):
    """The maximum over the samples that lie no further than reach away, along both axes."""
    if x.numel() == 0 or not any(reach):
        return x
    return F.max_pool2d(x, [2 * r + 1 for r in reach], 1, reach)


def _window(x, first, size):
    """Part of a map of zeros around x."""
    (top, left), (height, width) = first, size
    return F.pad(x, (-left, left + width - x.shape[3], -top, top + height - x.shape[2]))
