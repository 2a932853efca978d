"""Drawn problems against torch.nn.functional in float64, for every algorithm.

Shapes, options, dtypes and layouts of memory are drawn by hypothesis; values are small enough for
every dtype. The number of examples is that of the profile CNNOPS_HYPOTHESIS_PROFILE names.
"""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st

import cnnops
from cases import DTYPES, ConvCase, PoolCase, data
from checks import accumulate_dtype, algorithms, assert_within, factor_of, forced, layouts
from convolutions import READ, WHICH, call, exact, magnitude
from oracle import conv_transpose2d_size

ops = torch.ops.cnnops

LAYOUTS = [name for name, _ in layouts(torch.zeros(1, 1, 1, 1))]
CHANNELS = st.one_of(st.integers(1, 9), st.sampled_from([15, 16, 17, 31, 32, 33, 48, 65]))
SIDE = st.one_of(st.integers(1, 12), st.sampled_from([15, 16, 17, 31, 33, 40]))
SEED = st.integers(0, 2**16)
ONE = st.just(1)
ANY_PADDING = st.integers(0, 3)


def pair(strategy):
    return st.tuples(strategy, strategy)


@st.composite
def conv_cases(draw):
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 8]))
    depthwise = groups > 1 and draw(st.booleans())
    in_channels = 1 if depthwise else draw(CHANNELS)
    out_channels = draw(st.integers(1, 3)) if depthwise else draw(CHANNELS)
    kernel = draw(pair(st.integers(1, 5)))
    dilation = draw(st.one_of(st.just((1, 1)), pair(st.integers(1, 3))))
    padding = draw(
        st.one_of(
            st.integers(0, 3).map(lambda p: (p,) * 4),
            st.tuples(*[st.integers(-1, 6)] * 4),
        )
    )
    size = draw(pair(SIDE))
    for d in (0, 1):
        room = size[d] + padding[2 * d] + padding[2 * d + 1] - dilation[d] * (kernel[d] - 1)
        assume(room >= 1)
        assume(size[d] + min(0, padding[2 * d]) + min(0, padding[2 * d + 1]) >= 1)
    return ConvCase(
        "",
        (draw(st.integers(1, 3)), groups * in_channels, *size),
        (groups * out_channels, in_channels, *kernel),
        draw(st.one_of(st.just((1, 1)), pair(st.integers(1, 5)))),
        padding,
        dilation,
        groups,
    )


@st.composite
def pool_cases(draw, dilations=ONE, paddings=ANY_PADDING):
    kernel = draw(pair(st.integers(1, 6)))
    dilation = draw(pair(dilations))
    padding = tuple(min(draw(paddings), k // 2) for k in kernel)
    size = draw(pair(SIDE))
    for d in (0, 1):
        assume(size[d] + 2 * padding[d] > dilation[d] * (kernel[d] - 1))
        assume(size[d] >= dilation[d])  # no window misses the map
    return PoolCase(
        "",
        (draw(st.integers(1, 3)), draw(CHANNELS), *size),
        kernel,
        draw(pair(st.integers(1, 5))),
        padding,
        dilation,
        draw(st.booleans()),
    )


def arranged(x, layout):
    return dict(layouts(x))[layout]


def conv_dtypes_and_layouts(function):
    return given(
        case=conv_cases(),
        dtype=st.sampled_from(DTYPES),
        first=st.sampled_from(LAYOUTS),
        second=st.sampled_from(LAYOUTS),
        seed=SEED,
    )(function)


def memory_format_of(layout):
    return torch.channels_last if layout == "channels_last" else torch.contiguous_format


def assert_right(which, case, dtype, layouts, device, tensors):
    """Every algorithm is within its bound; layouts are those of the operands it reads."""
    reference = exact(which, case, **tensors)
    arguments = {
        name: None if tensor is None else tensor.to(device, dtype)
        for name, tensor in tensors.items()
    }
    for name, layout in zip(READ[which], layouts, strict=True):
        arguments[name] = arranged(arguments[name], layout)
    for name in algorithms(which, case, dtype, device, memory_format_of(layouts[0])):
        with forced(name) as factor:
            result = call(ops, which, case, **arguments)
        assert_within(result, reference, magnitude(which, case, name, **tensors), factor)


@pytest.mark.parametrize("which", WHICH)
@conv_dtypes_and_layouts
def test_convolutions(device, which, case, dtype, first, second, seed):
    tensors = {
        "input": data(*case.input, salt=seed),
        "weight": data(*case.weight, salt=-seed),
        "bias": data(case.weight[0], salt=seed) if seed % 2 else None,
        "grad_output": data(*case.output, salt=seed),
    }
    assert_right(which, case, dtype, (first, second), device, tensors)


@conv_dtypes_and_layouts
def test_conv2d_bias_grad(device, case, dtype, first, second, seed):
    g = data(*case.output, salt=seed)
    result = ops.conv2d_bias_grad(arranged(g.to(device, dtype), first))
    assert_within(result, g.sum((0, 2, 3)), g.abs().sum((0, 2, 3)))


@conv_dtypes_and_layouts
def test_conv_transpose2d(device, case, dtype, first, second, seed):
    x, w = data(*case.output, salt=seed), data(*case.weight, salt=-seed)
    size = conv_transpose2d_size(case.output[2:], case.weight[2:], *case.options[:3])
    assume(min(size) > 0)
    case = replace(case, input=(*case.input[:2], *size))
    tensors = {"input": None, "weight": w, "bias": None, "grad_output": x}
    (name, *_) = algorithms("input_grad", case, dtype, device, memory_format_of(first))
    x, w = arranged(x.to(device, dtype), first), arranged(w.to(device, dtype), second)
    assert_within(
        ops.conv_transpose2d(x, w, None, *case.options),
        exact("input_grad", case, **tensors),
        magnitude("input_grad", case, name, **tensors),
        factor_of(name),
    )


@given(
    case=pool_cases(dilations=st.integers(1, 3)),
    dtype=st.sampled_from(DTYPES),
    layout=st.sampled_from(LAYOUTS),
    kind=st.sampled_from(["normal", "ties", "nan"]),
    seed=SEED,
)
def test_max_pool2d(device, case, dtype, layout, kind, seed):
    x = data(*case.input, salt=seed)
    if kind != "normal":
        x = x.round()
    if kind == "nan":
        x = torch.where(x > 1, torch.nan, x)
    x = arranged(x.to(device, dtype), layout).requires_grad_()
    arguments = (*case.window, case.dilation, case.ceil_mode)
    y, indices = cnnops.functional.max_pool2d(x, *arguments, return_indices=True)
    expected, places = F.max_pool2d(x, *arguments, return_indices=True)
    torch.testing.assert_close(y, expected, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(indices, places)
    g = data(*y.shape, salt=seed).to(device, dtype)
    (dx,) = torch.autograd.grad(y, x, g)
    exact = torch.autograd.grad(
        F.max_pool2d(z := x.detach().double().requires_grad_(), *arguments), z, g.double()
    )[0]
    magnitude = torch.autograd.grad(F.max_pool2d(z, *arguments), z, g.double().abs())[0]
    assert_within(dx, exact.cpu(), magnitude.cpu())


@given(
    case=pool_cases(),
    dtype=st.sampled_from(DTYPES),
    layout=st.sampled_from(LAYOUTS),
    count_include_pad=st.booleans(),
    divisor_override=st.sampled_from([None, None, 1, 5]),
    seed=SEED,
)
def test_avg_pool2d(device, case, dtype, layout, count_include_pad, divisor_override, seed):
    options = (*case.window, case.ceil_mode, count_include_pad, divisor_override)
    x = data(*case.input, salt=seed)
    y = ops.avg_pool2d(arranged(x.to(device, dtype), layout), *options)
    assert_within(y, F.avg_pool2d(x, *options), F.avg_pool2d(x.abs(), *options))
    g = data(*y.shape, salt=-seed)
    leaf = torch.zeros_like(x).requires_grad_()
    exact, magnitude = (
        torch.autograd.grad(F.avg_pool2d(leaf, *options), leaf, grad)[0] for grad in (g, g.abs())
    )
    dx = ops.avg_pool2d_backward(arranged(g.to(device, dtype), layout), case.input[2:], *options)
    assert_within(dx, exact, magnitude)


@given(
    case=pool_cases(paddings=st.just(0)),
    dtype=st.sampled_from(DTYPES),
    layout=st.sampled_from(LAYOUTS),
    norm_type=st.sampled_from([1.0, 1.5, 2.0, 2.0, 3.0, 4.0]),
    seed=SEED,
)
def test_lp_pool2d(device, case, dtype, layout, norm_type, seed):
    kernel, stride, _ = case.window
    exact = (data(*case.input, salt=seed).abs() + 0.125).bfloat16().half().double()
    exact.requires_grad_()
    expected = F.lp_pool2d(exact, norm_type, kernel, stride, case.ceil_mode)
    x = arranged(exact.detach().to(device, dtype), layout)
    options = (norm_type, kernel, stride, [0, 0], case.ceil_mode)
    y = ops.lp_pool2d(x, *options)
    assert_within(y, expected.detach(), expected.detach())
    g = data(*y.shape, salt=-seed)
    gradient, magnitude = (
        torch.autograd.grad(expected, exact, grad, retain_graph=True)[0] for grad in (g, g.abs())
    )
    dx = ops.lp_pool2d_backward(arranged(g.to(device, dtype), layout), x, y, *options)
    rounding = torch.finfo(dtype).eps / torch.finfo(accumulate_dtype(dtype)).eps
    assert_within(dx, gradient, magnitude, 16 + norm_type * rounding)  # y is stored rounded
