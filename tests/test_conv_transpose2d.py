"""conv_transpose2d against the oracle and torch."""

from dataclasses import replace
from functools import cache
from itertools import product

import pytest
import torch
import torch.nn.functional as F

import cnnops
import oracle
from cases import CONV_CASES, DTYPES, MEMORY_FORMATS, ConvCase, data, ids
from checks import algorithms, assert_same_bits, assert_within, factor_of, layouts
from convolutions import magnitude

ops = torch.ops.cnnops
LAYOUT_NAMES = ("cifar_downsample", "pointwise", "depthwise", "grouped_odd")
LAYOUT_CASES = [case for case in CONV_CASES if case.name in LAYOUT_NAMES]


def operands(case):
    """The case read backwards, from its output to its input: C_in of the weight stands first."""
    return {
        "input": data(*case.output, salt="input"),
        "weight": data(*case.weight, salt="weight"),
        "bias": data(case.weight[1] * case.groups, salt="bias"),
    }


@cache
def exact(case):
    return oracle.conv_transpose2d(*(t.numpy() for t in operands(case).values()), *case.options)


def assert_right(case, dtype, x, w, b, memory_format=torch.contiguous_format):
    """The result is within the bound of the algorithm that the default chooses."""
    size = oracle.conv_transpose2d_size(case.output[2:], case.weight[2:], *case.options[:3])
    backward = replace(case, input=(*case.input[:2], *size))
    (name, *_) = algorithms("input_grad", backward, dtype, x.device, memory_format)
    scale = magnitude(
        "input_grad",
        backward,
        name,
        input=None,
        weight=operands(case)["weight"],
        bias=None,
        grad_output=operands(case)["input"],
    )
    scale += operands(case)["bias"].abs()[:, None, None]
    y = ops.conv_transpose2d(x, w, b, *case.options)
    assert_within(y, exact(case), scale, factor_of(name))


@pytest.mark.parametrize("case", CONV_CASES, ids=ids(CONV_CASES))
def test_against_the_oracle(case, device):
    for dtype, memory_format in product(DTYPES, MEMORY_FORMATS):
        x, w, b = (t.to(device, dtype) for t in operands(case).values())
        x, w = (t.contiguous(memory_format=memory_format) for t in (x, w))
        assert_right(case, dtype, x, w, b, memory_format)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", LAYOUT_CASES, ids=ids(LAYOUT_CASES))
def test_any_layout(case, dtype, device):
    x, w, b = (t.to(device, dtype) for t in operands(case).values())
    for (_, a), (_, f) in product(layouts(x), layouts(w)):
        assert_right(case, dtype, a, f, b)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride, output_padding", [(1, 0), (2, 1), ((3, 2), (2, 0))])
@pytest.mark.parametrize("padding", [0, 1, (2, 1)])
@pytest.mark.parametrize("dilation", [1, (2, 3)])
def test_equals_torch(groups, stride, output_padding, padding, dilation, device):
    x, w, b = data(2, 4, 5, 6), data(4, 3, 3, 4), data(3 * groups)
    options = (stride, padding, output_padding, groups, dilation)
    exact = F.conv_transpose2d(x, w, b, *options)
    magnitude = F.conv_transpose2d(x.abs(), w.abs(), b.abs(), *options)
    for dtype in DTYPES:
        tensors = (t.to(device, dtype) for t in (x, w, b))
        y = cnnops.functional.conv_transpose2d(*tensors, *options)
        assert_within(y, exact, magnitude)


def test_output_padding_over_the_padding(device):
    """The bottom and right padding turn negative: the map grows past the last product."""
    x, w, b = data(1, 2, 3, 3), data(2, 3, 3, 3), data(3)
    y = cnnops.functional.conv_transpose2d(
        x.to(device), w.to(device), b.to(device), stride=4, output_padding=3
    )
    exact = F.conv_transpose2d(x, w, b, stride=4, output_padding=3)
    magnitude = F.conv_transpose2d(x.abs(), w.abs(), b.abs(), stride=4, output_padding=3)
    assert_within(y, exact, magnitude)


def test_unbatched(device):
    x, w, b = data(3, 6, 7).to(device), data(3, 4, 3, 3).to(device), data(4).to(device)
    y = cnnops.functional.conv_transpose2d(x, w, b, stride=2)
    assert y.shape == (4, 13, 15)
    assert_same_bits(y, cnnops.functional.conv_transpose2d(x[None], w, b, stride=2)[0])


def test_is_the_input_gradient(device):
    """The transposed convolution of a gradient is what conv2d_input_grad computes."""
    for case in CONV_CASES:
        reach = oracle.conv_transpose2d_size(case.output[2:], case.weight[2:], *case.options[:3])
        g, w = data(*case.output).to(device), data(*case.weight).to(device)
        options = (case.input[0], case.input[1], *reach), *case.options
        torch.testing.assert_close(
            ops.conv_transpose2d(g, w, None, *case.options),
            ops.conv2d_input_grad(g, w, *options),
        )


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("size", [(2, 4, 6, 7), (1, 4, 6, 7), (2, 1, 6, 7), (2, 4, 1, 1)])
def test_memory_format_is_that_of_torch(size, kernel, memory_format, device):
    x = torch.ones(size, device=device).contiguous(memory_format=memory_format)
    w = torch.ones(size[1], 3, kernel, kernel, device=device)
    y = cnnops.functional.conv_transpose2d(x, w)
    assert y.stride() == F.conv_transpose2d(x, w).stride()


def test_no_input_channels_leave_the_bias(device):
    case = ConvCase("", (2, 4, 7, 8), (0, 4, 3, 3))
    x, w = torch.empty(2, 0, 5, 6, device=device), torch.empty(0, 4, 3, 3, device=device)
    bias = data(4).to(device, torch.float32)
    y = ops.conv_transpose2d(x, w, bias, *case.options)
    assert_same_bits(y, bias[:, None, None].expand(case.input).contiguous())
