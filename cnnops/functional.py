"""The operators as functions, with the signatures and meaning of torch.nn.functional's.

All of them take float64, float32, bfloat16 and float16 (half types are stored as half and
accumulated in float32), contiguous and channels_last memory as well as any strides, and return the
memory format of the input. They are differentiable any number of times. The same input gives the
same bits in every run, whatever the batch size and the number of threads.

Input is (N, C, H, W), or (C, H, W) for one image. A size is an int or a tuple (height, width). Bad
arguments raise TypeError for a wrong type, ValueError or RuntimeError otherwise, and
NotImplementedError for tensors of a device or layout without kernels.

Proxies of torch.fx and tensor subclasses are dispatched by ``__torch_function__``, as in torch.
torch.func.vmap and forward-mode differentiation are not supported and raise.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch._C import _is_any_autocast_enabled
from torch.amp import is_autocast_available
from torch.compiler import is_compiling
from torch.overrides import handle_torch_function, has_torch_function_variadic

from . import _C
from . import _arguments as arguments
from ._dispatch import call, is_differentiated, run

__all__ = ["avg_pool2d", "conv2d", "conv_transpose2d", "l2_pool2d", "lp_pool2d", "max_pool2d"]

Size = int | tuple[int, int]

_conv2d = torch.ops.cnnops.conv2d.default
_conv_transpose2d = torch.ops.cnnops.conv_transpose2d.default
_max_pool2d = torch.ops.cnnops.max_pool2d.default
_max_pool2d_with_offsets = torch.ops.cnnops.max_pool2d_with_offsets.default
_max_pool2d_indices = torch.ops.cnnops.max_pool2d_indices.default
_avg_pool2d = torch.ops.cnnops.avg_pool2d.default
_lp_pool2d = torch.ops.cnnops.lp_pool2d.default


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Correlates images with kernels: ``torch.nn.functional.conv2d`` and two more paddings.

    Args:
        input: (N, C, H, W) or (C, H, W).
        weight: (K, C / groups, kH, kW), not flipped.
        bias: (K,) or None.
        stride: distance between windows, > 0.
        padding: rows and columns of zeros on both sides, >= 0; or 'valid' (none), 'same' (the
            output has ceil(H / stride) rows; an odd row of zeros is the last one), 'full' (every
            overlap of kernel and image: dilation * (kH - 1) rows on both sides).
        dilation: distance between the samples under a kernel, > 0.
        groups: number of channel groups that see only their own kernels.

    Returns:
        (N, K, P, Q) or (K, P, Q) with
        P = floor((H + 2 * padding - dilation * (kH - 1) - 1) / stride) + 1. Under autocast the
        computation and the result have the autocast dtype, as torch's.
    """
    if not is_compiling():
        output = _C.conv2d(input, weight, bias, stride, padding, dilation, groups)
        if output is not None:
            return output
    if has_torch_function_variadic(input, weight, bias):
        operands = input, weight, bias
        return handle_torch_function(conv2d, operands, *operands, stride, padding, dilation, groups)
    arguments.check_operands("conv2d", input, weight, bias)
    if arguments.is_unbatched("conv2d", input):
        return conv2d(input[None], weight, bias, stride, padding, dilation, groups).squeeze(0)
    if _is_any_autocast_enabled():
        input, weight, bias = _autocast(input, weight, bias)
    stride = arguments.pair("conv2d", "stride", stride)
    dilation = arguments.pair("conv2d", "dilation", dilation)
    padding = arguments.conv2d_padding(padding, input.shape, weight.shape, stride, dilation)
    groups = arguments.integer("conv2d", "groups", groups)
    return call(_conv2d, (input, weight, bias), stride, padding, dilation, groups)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """The transpose of :func:`conv2d`: ``torch.nn.functional.conv_transpose2d``.

    Args:
        input: (N, C, H, W) or (C, H, W).
        weight: (C, K / groups, kH, kW).
        bias: (K,) or None.
        stride: distance between the windows that are added to the output, > 0.
        padding: rows and columns cut off both sides of the output, >= 0.
        output_padding: rows and columns cut off less at the end; below stride or below dilation.
        groups: number of channel groups that see only their own kernels.
        dilation: distance between the samples under a kernel, > 0.

    Returns:
        (N, K, P, Q) or (K, P, Q) with
        P = (H - 1) * stride - 2 * padding + dilation * (kH - 1) + output_padding + 1. Under
        autocast the computation and the result have the autocast dtype, as torch's.
    """
    if has_torch_function_variadic(input, weight, bias):
        operands = input, weight, bias
        geometry = stride, padding, output_padding, groups, dilation
        return handle_torch_function(conv_transpose2d, operands, *operands, *geometry)
    name = "conv_transpose2d"
    arguments.check_operands(name, input, weight, bias)
    if arguments.is_unbatched(name, input):
        return conv_transpose2d(
            input[None], weight, bias, stride, padding, output_padding, groups, dilation
        ).squeeze(0)
    if _is_any_autocast_enabled():
        input, weight, bias = _autocast(input, weight, bias)
    stride = arguments.pair(name, "stride", stride)
    dilation = arguments.pair(name, "dilation", dilation)
    padding = arguments.conv_transpose2d_padding(padding, output_padding, stride, dilation)
    groups = arguments.integer(name, "groups", groups)
    return call(_conv_transpose2d, (input, weight, bias), stride, padding, dilation, groups)


def max_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The maximum of every window: ``torch.nn.functional.max_pool2d``.

    NaN wins over every number. Where several samples are the maximum, the gradient goes to the
    first of them.

    Args:
        input: (N, C, H, W) or (C, H, W).
        kernel_size: size of the window.
        stride: distance between windows, > 0; by default kernel_size.
        padding: rows and columns of -inf on both sides, at most half a window.
        dilation: distance between the samples of a window, > 0.
        ceil_mode: whether a last window may hang over the end, starting inside the input.
        return_indices: whether to return the positions of the maxima as well.

    Returns:
        (N, C, P, Q) or (C, P, Q) with
        P = floor((H + 2 * padding - dilation * (kH - 1) - 1) / stride) + 1, or ceil instead of
        floor; with return_indices also the positions h * W + w of the maxima, int64, of that shape.
    """
    if not return_indices and not is_compiling():
        output = _C.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)
        if output is not None:
            return output
    if has_torch_function_variadic(input):
        window = kernel_size, stride, padding, dilation, ceil_mode
        return handle_torch_function(max_pool2d, (input,), input, *window, return_indices)
    name = "max_pool2d"
    arguments.check_tensor(name, "input", input)
    if arguments.is_unbatched(name, input):
        pooled = max_pool2d(
            input[None], kernel_size, stride, padding, dilation, ceil_mode, return_indices
        )
        return (pooled[0][0], pooled[1][0]) if return_indices else pooled.squeeze(0)
    kernel_size = arguments.pair(name, "kernel_size", kernel_size)
    stride = arguments.pool_stride(name, stride, kernel_size)
    padding = arguments.pair(name, "padding", padding)
    dilation = arguments.pair(name, "dilation", dilation)
    ceil_mode = arguments.boolean(name, "ceil_mode", ceil_mode)
    window = kernel_size, stride, padding, dilation
    if not return_indices and not is_differentiated(input):
        return run(_max_pool2d, input, *window, ceil_mode)
    output, offsets = call(_max_pool2d_with_offsets, (input,), *window, ceil_mode)
    if not return_indices:
        return output
    return output, run(_max_pool2d_indices, offsets, input.shape[2:], *window)


def avg_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The average of every window: ``torch.nn.functional.avg_pool2d``.

    Args:
        input: (N, C, H, W) or (C, H, W).
        kernel_size: size of the window.
        stride: distance between windows, > 0; by default kernel_size.
        padding: rows and columns of zeros on both sides, at most half a window.
        ceil_mode: whether a last window may hang over the end, starting inside the input.
        count_include_pad: whether a window's samples in the padding count in its average; what
            hangs over the padding never does.
        divisor_override: divides the sum of each window instead of the count; not 0.

    Returns:
        (N, C, P, Q) or (C, P, Q) with P = floor((H + 2 * padding - kH) / stride) + 1, or ceil
        instead of floor.
    """
    if not is_compiling():
        output = _C.avg_pool2d(
            input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        )
        if output is not None:
            return output
    if has_torch_function_variadic(input):
        window = kernel_size, stride, padding, ceil_mode, count_include_pad
        return handle_torch_function(avg_pool2d, (input,), input, *window, divisor_override)
    name = "avg_pool2d"
    arguments.check_tensor(name, "input", input)
    if arguments.is_unbatched(name, input):
        return avg_pool2d(
            input[None],
            kernel_size,
            stride,
            padding,
            ceil_mode,
            count_include_pad,
            divisor_override,
        ).squeeze(0)
    kernel_size = arguments.pair(name, "kernel_size", kernel_size)
    window = (
        kernel_size,
        arguments.pool_stride(name, stride, kernel_size),
        arguments.pair(name, "padding", padding),
        arguments.boolean(name, "ceil_mode", ceil_mode),
        arguments.boolean(name, "count_include_pad", count_include_pad),
        divisor_override
        if divisor_override is None
        else arguments.integer(name, "divisor_override", divisor_override, "None or an int"),
    )
    return call(_avg_pool2d, (input,), *window)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: Size,
    stride: Size | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The power-average of every window: ``torch.nn.functional.lp_pool2d``.

    A window x gives y = (sum x^p)^(1/p) with p = norm_type; the sign of x is kept, so that an odd
    or fractional power may give NaN, and p = 1 is the plain sum. For p = inf it is the maximum,
    for p = -inf the minimum of abs(x). Where ceil_mode lets a window hang over the end, its sum is
    scaled to a full window. Windows with y = 0 have gradient 0.

    Args:
        input: (N, C, H, W) or (C, H, W).
        norm_type: the exponent p, not 0 and not NaN.
        kernel_size: size of the window.
        stride: distance between windows, > 0; by default kernel_size.
        ceil_mode: whether a last window may hang over the end, starting inside the input.

    Returns:
        (N, C, P, Q) or (C, P, Q) with P = floor((H - kH) / stride) + 1, or ceil instead of floor.
    """
    if has_torch_function_variadic(input):
        window = kernel_size, stride, ceil_mode
        return handle_torch_function(lp_pool2d, (input,), input, norm_type, *window)
    name = "lp_pool2d"
    arguments.check_tensor(name, "input", input)
    exponent = arguments.norm_exponent(name, norm_type)
    if exponent == math.inf:
        return max_pool2d(input.abs(), kernel_size, stride, ceil_mode=ceil_mode)
    if exponent == -math.inf:
        return -max_pool2d(-input.abs(), kernel_size, stride, ceil_mode=ceil_mode)
    return _power_pool2d(name, input, exponent, kernel_size, stride, 0, ceil_mode)


def l2_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
) -> Tensor:
    """The Euclidean norm of every window, sqrt(sum x^2): :func:`lp_pool2d` with p = 2 and padding.

    Args:
        input: (N, C, H, W) or (C, H, W).
        kernel_size: size of the window.
        stride: distance between windows, > 0; by default kernel_size.
        padding: rows and columns of zeros on both sides, at most half a window.
        ceil_mode: whether a last window may hang over the end, starting inside the input.

    Returns:
        (N, C, P, Q) or (C, P, Q) with P = floor((H + 2 * padding - kH) / stride) + 1, or ceil
        instead of floor.
    """
    if has_torch_function_variadic(input):
        window = kernel_size, stride, padding, ceil_mode
        return handle_torch_function(l2_pool2d, (input,), input, *window)
    arguments.check_tensor("l2_pool2d", "input", input)
    return _power_pool2d("l2_pool2d", input, 2.0, kernel_size, stride, padding, ceil_mode)


def _power_pool2d(
    name: str,
    input: Tensor,
    exponent: float,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: Any,
) -> Tensor:
    if arguments.is_unbatched(name, input):
        return _power_pool2d(
            name, input[None], exponent, kernel_size, stride, padding, ceil_mode
        ).squeeze(0)
    kernel_size = arguments.pair(name, "kernel_size", kernel_size)
    window = (
        kernel_size,
        arguments.pool_stride(name, stride, kernel_size),
        arguments.pair(name, "padding", padding),
        arguments.boolean(name, "ceil_mode", ceil_mode),
    )
    return call(_lp_pool2d, (input,), exponent, *window)


def _autocast(*operands: Tensor | None) -> list[Tensor | None]:
    """The operands of a convolution in the dtype autocast wants; float64 stays, as in torch."""
    device = operands[0].device.type
    # The compiler of torch 2.9 cannot trace the first question, and traces no other devices.
    if not is_compiling() and not is_autocast_available(device):
        return list(operands)
    if not torch.is_autocast_enabled(device):
        return list(operands)
    dtype = torch.get_autocast_dtype(device)
    return [
        operand.to(dtype)
        if operand is not None and operand.is_floating_point() and operand.dtype != torch.float64
        else operand
        for operand in operands
    ]
