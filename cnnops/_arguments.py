"""Turns arguments as users write them into those of the operators, and rejects the impossible.

Here stands only what an operator's C++ checks cannot see: wrong types, tuples of a wrong length,
names of paddings, negative padding of a convolution (which the operator takes for a crop).
"""

import operator as python_operator
import reprlib
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

LARGEST_FACTOR = 2**31 - 1  # of a stride or a dilation
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def check_tensor(operator: str, argument: str, value: Any) -> None:
    """Raises TypeError unless value is a tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{operator}: {argument} must be a tensor, got {described(value)}")


def check_operands(operator: str, input: Any, weight: Any, bias: Any) -> None:
    """Raises TypeError unless the operands of a convolution are tensors; bias may be None."""
    check_tensor(operator, "input", input)
    check_tensor(operator, "weight", weight)
    if bias is not None:
        check_tensor(operator, "bias", bias)


def is_unbatched(operator: str, input: Tensor) -> bool:
    """Whether input is one image (C, H, W); raises RuntimeError unless it is that or a batch."""
    dimensions = input.dim()
    if dimensions == 4:
        return False
    if dimensions == 3:
        return True
    raise RuntimeError(
        f"{operator}: input must have the shape (N, C, H, W) or (C, H, W), got {tuple(input.shape)}"
    )


def integer(operator: str, argument: str, value: Any, kind: str = "an int") -> int:
    """An int from anything that stands for one, except a bool."""
    if isinstance(value, torch.SymInt):
        return value
    try:
        if isinstance(value, bool):
            raise TypeError
        number = python_operator.index(value)
    except TypeError:
        raise TypeError(f"{operator}: {argument} must be {kind}, got {described(value)}") from None
    if not INT64_MIN <= number <= INT64_MAX:
        raise ValueError(f"{operator}: {argument} must fit 64 bits, got {number}")
    return number


def boolean(operator: str, argument: str, value: Any) -> bool:
    """The value itself; raises TypeError unless it is True or False."""
    if value is not True and value is not False:
        raise TypeError(f"{operator}: {argument} must be a bool, got {described(value)}")
    return value


def pair(operator: str, argument: str, value: Any) -> tuple[int, int]:
    """(height, width) from an int, a pair, or a tuple of one int."""
    if type(value) is int:
        value = (value, value)
    if type(value) is tuple and len(value) == 2:
        height, width = value
        if (
            type(height) is type(width) is int
            and INT64_MIN <= height <= INT64_MAX
            and INT64_MIN <= width <= INT64_MAX
        ):
            return value
    entries = value if isinstance(value, (tuple, list)) else (value,)
    if len(entries) not in (1, 2):
        raise RuntimeError(
            f"{operator}: {argument} must be an int or a tuple of two ints, got {value!r}"
        )
    kind = "an int or a tuple of two ints"
    height = integer(operator, argument, entries[0], kind)
    return height, integer(operator, argument, entries[-1], kind)


def pool_stride(operator: str, stride: Any, kernel_size: tuple[int, int]) -> tuple[int, int]:
    """The stride of a pooling, by default the size of its window."""
    if stride is None or (isinstance(stride, (tuple, list)) and len(stride) == 0):
        return kernel_size
    return pair(operator, "stride", stride)


def conv2d_padding(
    padding: Any,
    input_size: Sequence[int],
    weight_size: Sequence[int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) from an int, a pair, or the name 'valid', 'same' or 'full'."""
    if isinstance(padding, str):
        return _named_padding(padding, input_size, weight_size, stride, dilation)
    height, width = pair("conv2d", "padding", padding)
    _check_non_negative("conv2d", "padding", height, width)
    return height, height, width, width


def _named_padding(name, input_size, weight_size, stride, dilation):
    if name not in NAMED_PADDINGS:
        raise RuntimeError(
            f"conv2d: padding must be an int, a tuple of two ints, 'valid', 'same' or 'full', "
            f"got {name!r}"
        )
    if len(weight_size) != 4:
        raise RuntimeError(
            f"conv2d: weight must have the shape (K, C / groups, kH, kW), got {tuple(weight_size)}"
        )
    _check_factor("stride", stride)
    _check_factor("dilation", dilation)
    rule = NAMED_PADDINGS[name]
    return (
        *rule(input_size[-2], dilation[0] * (weight_size[2] - 1), stride[0]),
        *rule(input_size[-1], dilation[1] * (weight_size[3] - 1), stride[1]),
    )


def _check_factor(argument, values):
    """The range the operator accepts, needed before a padding is computed."""
    if min(values) < 1 or max(values) > LARGEST_FACTOR:
        raise RuntimeError(
            f"conv2d: {argument} must be between 1 and {LARGEST_FACTOR}, got {values}"
        )


# Each rule gives (begin, end) of one axis from its size, the reach of the kernel, which is its
# dilated extent less one, and the stride.
def _valid(size, reach, stride):
    return 0, 0


def _full(size, reach, stride):
    return reach, reach


def _same(size, reach, stride):
    """So much that the output has ceil(size / stride) samples, an odd one at the end."""
    last = (size - 1) // stride * stride
    total = max(last + reach + 1 - size, 0)
    return total // 2, total - total // 2


NAMED_PADDINGS = {"valid": _valid, "full": _full, "same": _same}


def conv_transpose2d_padding(
    padding: Any, output_padding: Any, stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) cut off the output, output_padding leaving more of its end."""
    height, width = pair("conv_transpose2d", "padding", padding)
    _check_non_negative("conv_transpose2d", "padding", height, width)
    if output_padding == 0:
        return height, height, width, width
    extra_height, extra_width = pair("conv_transpose2d", "output_padding", output_padding)
    _check_non_negative("conv_transpose2d", "output_padding", extra_height, extra_width)
    if extra_height >= max(stride[0], dilation[0]) or extra_width >= max(stride[1], dilation[1]):
        raise RuntimeError(
            f"conv_transpose2d: output_padding must be less than stride {stride} or dilation "
            f"{dilation}, got {(extra_height, extra_width)}"
        )
    return height, height - extra_height, width, width - extra_width


def _check_non_negative(operator, argument, height, width):
    if height < 0 or width < 0:
        raise RuntimeError(f"{operator}: {argument} must be at least 0, got {(height, width)}")


def norm_exponent(operator: str, norm_type: Any) -> float:
    """The exponent p of an Lp pooling; raises ValueError unless it is a number other than 0."""
    if not isinstance(norm_type, Real):
        raise TypeError(f"{operator}: norm_type must be a real number, got {described(norm_type)}")
    exponent = float(norm_type)
    if exponent == 0 or exponent != exponent:
        raise ValueError(f"{operator}: norm_type must be a number other than 0, got {norm_type}")
    return exponent


def described(value: Any) -> str:
    """A value and its type, for an error."""
    return f"{reprlib.repr(value)} of type {type(value).__name__}"
