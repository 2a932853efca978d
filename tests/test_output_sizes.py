"""Output sizes, and what has none, against torch over every small combination of the options."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F

import cnnops

functional = cnnops.functional


def size_of(function, *arguments, **options):
    """The result's height and width, or None where it would be empty or the call is an error."""
    try:
        size = tuple(function(*arguments, **options).shape[2:])
    except RuntimeError:
        return None
    return size if min(size) > 0 else None


def row(size):
    """Two maps one row high: the axis under test is the width."""
    return torch.empty(1, 2, 1, size, device="meta")


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_pooling(ceil_mode):
    for size, kernel, stride, dilation in product(
        range(1, 8), range(1, 9), range(1, 5), range(1, 4)
    ):
        for padding in range(kernel // 2 + 1):
            arguments = (row(size), (1, kernel), (1, stride), (0, padding))
            options = {"dilation": (1, dilation), "ceil_mode": ceil_mode}
            expected = size_of(F.max_pool2d, *arguments, **options)
            actual = size_of(functional.max_pool2d, *arguments, **options)
            assert actual == expected, (arguments[1:], options, size)
            if dilation == 1:
                assert size_of(functional.avg_pool2d, *arguments, ceil_mode) == expected
                assert size_of(functional.l2_pool2d, *arguments, ceil_mode) == expected


def test_convolution():
    for size, kernel, stride, dilation, padding in product(
        range(1, 7), range(1, 6), range(1, 5), range(1, 4), range(4)
    ):
        arguments = (row(size), torch.empty(3, 2, 1, kernel, device="meta"), None)
        options = ((1, stride), (0, padding), (1, dilation))
        expected = size_of(F.conv2d, *arguments, *options)
        assert size_of(functional.conv2d, *arguments, *options) == expected, (options, size)


def test_transposed_convolution():
    for size, kernel, stride, dilation, padding in product(
        range(1, 5), range(1, 5), range(1, 4), range(1, 4), range(4)
    ):
        for output_padding in range(max(stride, dilation)):
            arguments = (row(size), torch.empty(2, 3, 1, kernel, device="meta"), None)
            options = ((1, stride), (0, padding), (0, output_padding), 1, (1, dilation))
            expected = size_of(F.conv_transpose2d, *arguments, *options)
            actual = size_of(functional.conv_transpose2d, *arguments, *options)
            assert actual == expected, (options, size, kernel)
