"""Every operator and option against numerical derivatives, first and second order."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

import cnnops
from cases import data

ops = torch.ops.cnnops
functional = cnnops.functional

CONV_OPTIONS = {
    "plain": ((2, 2, 4, 5), (3, 2, 2, 3), {}),
    "stride": ((1, 2, 5, 6), (2, 2, 3, 2), {"stride": (2, 3)}),
    "padding": ((1, 2, 3, 4), (2, 2, 3, 3), {"padding": (2, 1)}),
    "dilation": ((1, 2, 5, 6), (2, 2, 2, 3), {"dilation": (3, 2)}),
    "groups": ((1, 4, 4, 3), (6, 2, 2, 2), {"groups": 2}),
    "depthwise": ((2, 3, 4, 4), (3, 1, 3, 3), {"groups": 3, "padding": 1}),
    "depthwise_multiplier": ((1, 2, 5, 4), (4, 1, 3, 2), {"groups": 2, "stride": 2}),
    "pointwise": ((2, 3, 2, 3), (4, 3, 1, 1), {}),
    "pointwise_stride": ((1, 2, 4, 5), (3, 2, 1, 1), {"stride": 2}),
    "same": ((1, 2, 4, 5), (2, 2, 2, 4), {"padding": "same"}),
    "same_stride": ((1, 2, 4, 5), (2, 2, 3, 3), {"padding": "same", "stride": 2}),
    "full": ((1, 2, 3, 3), (2, 2, 2, 3), {"padding": "full"}),
    "all": (
        (2, 4, 5, 5),
        (2, 2, 2, 3),
        {"stride": (2, 1), "padding": (1, 2), "dilation": (2, 2), "groups": 2},
    ),
    "stride_over_kernel": ((1, 2, 7, 6), (2, 2, 2, 1), {"stride": (4, 3)}),
    "batch_0": ((0, 2, 4, 4), (2, 2, 3, 3), {}),
}
TRANSPOSE_OPTIONS = {
    "plain": ((2, 2, 3, 4), (2, 3, 2, 3), {}),
    "stride": ((1, 2, 3, 3), (2, 2, 3, 2), {"stride": (2, 3)}),
    "padding": ((1, 2, 3, 4), (2, 2, 3, 3), {"padding": (1, 2)}),
    "output_padding": ((1, 2, 3, 3), (2, 2, 2, 2), {"stride": 3, "output_padding": (2, 1)}),
    "groups": ((1, 4, 3, 3), (4, 2, 2, 2), {"groups": 2}),
    "dilation": ((1, 2, 3, 3), (2, 2, 2, 3), {"dilation": (2, 3), "padding": 1}),
}
POOL_OPTIONS = {
    "plain": ((2, 2, 4, 6), {"kernel_size": 2}),
    "overlapping": ((1, 2, 5, 5), {"kernel_size": 3, "stride": 2}),
    "rectangular": ((1, 2, 5, 6), {"kernel_size": (2, 3), "stride": (1, 2)}),
    "ceil_mode": ((1, 2, 6, 5), {"kernel_size": 3, "stride": 2, "ceil_mode": True}),
    "gaps": ((1, 2, 6, 5), {"kernel_size": 1, "stride": 2}),
    "batch_0": ((0, 2, 4, 4), {"kernel_size": 2}),
}
PADDED_POOL_OPTIONS = POOL_OPTIONS | {
    "padding": ((1, 2, 4, 5), {"kernel_size": 3, "stride": 2, "padding": 1}),
    "padded_ceil_mode": (
        (1, 2, 4, 4),
        {"kernel_size": (2, 3), "stride": (3, 2), "padding": 1, "ceil_mode": True},
    ),
}
MEMORY_FORMATS = [torch.contiguous_format, torch.channels_last]


def leaf(values, device):
    return values.to(device).requires_grad_()


def distinct(size):
    """Values far enough apart that a numerical derivative changes no maximum."""
    return torch.randperm(torch.Size(size).numel()).double().view(size) / 10


def away_from_zero(size):
    x = data(*size)
    return x + x.sign() / 4 + (x == 0)


def check(function, *inputs):
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("name", CONV_OPTIONS)
def test_conv2d(name, with_bias, memory_format, device):
    input_size, weight_size, options = CONV_OPTIONS[name]
    x = leaf(data(*input_size).contiguous(memory_format=memory_format), device)
    w = leaf(data(*weight_size), device)
    bias = [leaf(data(weight_size[0]), device)] if with_bias else []
    check(partial(functional.conv2d, **options), x, w, *bias)


@pytest.mark.parametrize("name", TRANSPOSE_OPTIONS)
def test_conv_transpose2d(name, device):
    input_size, weight_size, options = TRANSPOSE_OPTIONS[name]
    channels = weight_size[1] * options.get("groups", 1)
    tensors = (leaf(data(*size), device) for size in (input_size, weight_size, (channels,)))
    check(partial(functional.conv_transpose2d, **options), *tensors)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("name", PADDED_POOL_OPTIONS)
def test_max_pool2d(name, dilation, memory_format, device):
    size, options = PADDED_POOL_OPTIONS[name]
    x = leaf(distinct(size).contiguous(memory_format=memory_format), device)
    check(partial(functional.max_pool2d, dilation=dilation, **options), x)


def test_max_pool2d_with_indices(device):
    x = leaf(distinct((1, 2, 5, 5)), device)
    check(lambda x: functional.max_pool2d(x, 3, 2, return_indices=True)[0], x)


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("divisor_override", [None, 3])
@pytest.mark.parametrize("name", PADDED_POOL_OPTIONS)
def test_avg_pool2d(name, count_include_pad, divisor_override, device):
    size, options = PADDED_POOL_OPTIONS[name]
    options = options | {
        "count_include_pad": count_include_pad,
        "divisor_override": divisor_override,
    }
    check(partial(functional.avg_pool2d, **options), leaf(data(*size), device))


@pytest.mark.parametrize("norm_type", [1, 1.5, 2, 3, 4])
@pytest.mark.parametrize("name", POOL_OPTIONS)
def test_lp_pool2d(name, norm_type, device):
    size, options = POOL_OPTIONS[name]
    x = away_from_zero(size)
    x = leaf(x if norm_type in (2, 4) else x.abs(), device)
    check(partial(functional.lp_pool2d, norm_type=norm_type, **options), x)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("name", PADDED_POOL_OPTIONS)
def test_l2_pool2d(name, memory_format, device):
    size, options = PADDED_POOL_OPTIONS[name]
    x = leaf(away_from_zero(size).contiguous(memory_format=memory_format), device)
    check(partial(functional.l2_pool2d, **options), x)


# The operators themselves: (call, sizes of the tensors it differentiates).
CONV = [2, 1], [1, 0, 2, -1], [1, 2], 2
CONV_INPUT, CONV_WEIGHT = (1, 4, 5, 5), (2, 2, 3, 2)
CONV_OUTPUT = (1, 2, 2, 4)
WINDOW = [3, 2], [2, 1], [1, 1]
POOL_INPUT, POOL_OUTPUT = (1, 2, 4, 4), (1, 2, 2, 5)
OPERATORS = {
    "conv2d": (lambda x, w, b: ops.conv2d(x, w, b, *CONV), CONV_INPUT, CONV_WEIGHT, (2,)),
    "conv2d_input_grad": (
        lambda g, w: ops.conv2d_input_grad(g, w, CONV_INPUT, *CONV),
        CONV_OUTPUT,
        CONV_WEIGHT,
    ),
    "conv2d_weight_grad": (
        lambda g, x: ops.conv2d_weight_grad(g, x, CONV_WEIGHT, *CONV),
        CONV_OUTPUT,
        CONV_INPUT,
    ),
    "conv2d_bias_grad": (ops.conv2d_bias_grad, CONV_OUTPUT),
    "conv_transpose2d": (
        lambda x, w, b: ops.conv_transpose2d(x, w, b, *CONV),
        CONV_OUTPUT,
        CONV_WEIGHT,
        (4,),
    ),
    "max_pool2d": (lambda x: ops.max_pool2d(x, *WINDOW, [1, 1], False), POOL_INPUT),
    "max_pool2d_with_offsets": (
        lambda x: ops.max_pool2d_with_offsets(x, *WINDOW, [1, 1], False)[0],
        POOL_INPUT,
    ),
    "avg_pool2d": (lambda x: ops.avg_pool2d(x, *WINDOW, False, False, None), POOL_INPUT),
    "avg_pool2d_backward": (
        lambda g: ops.avg_pool2d_backward(g, POOL_INPUT[2:], *WINDOW, False, False, None),
        POOL_OUTPUT,
    ),
    "lp_pool2d": (lambda x: ops.lp_pool2d(x, 2.0, *WINDOW, False), POOL_INPUT),
    "lp_pool2d_backward": (
        lambda g, x, y: ops.lp_pool2d_backward(g, x, y, 3.0, *WINDOW, False),
        POOL_OUTPUT,
        POOL_INPUT,
        POOL_OUTPUT,
    ),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operator(name, device):
    call, *sizes = OPERATORS[name]
    values = distinct if name.startswith("max") else away_from_zero
    check(call, *(leaf(values(size), device) for size in sizes))


def test_max_pool2d_backward_and_select(device):
    x = distinct(POOL_INPUT).to(device)
    _, offsets = ops.max_pool2d_with_offsets(x, *WINDOW, [1, 1], False)
    check(
        lambda g: ops.max_pool2d_backward(g, offsets, POOL_INPUT[2:], *WINDOW, [1, 1]),
        leaf(data(*POOL_OUTPUT), device),
    )
    check(lambda x: ops.max_pool2d_select(x, offsets, *WINDOW, [1, 1]), leaf(x, device))


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)])
@pytest.mark.parametrize("convolution", [functional.conv2d, functional.conv_transpose2d])
def test_any_subset_of_gradients(convolution, wanted, device):
    tensors = [data(*size).to(device) for size in ((2, 3, 5, 5), (3, 3, 3, 3), (3,))]
    everything = [t.clone().requires_grad_() for t in tensors]
    y = convolution(*everything)
    g = data(*y.shape, salt="grad").to(device)
    references = torch.autograd.grad(y, everything, g)
    some = [t.clone().requires_grad_(i in wanted) for i, t in enumerate(tensors)]
    gradients = torch.autograd.grad(convolution(*some), [some[i] for i in wanted], g)
    for gradient, i in zip(gradients, wanted, strict=True):
        assert torch.equal(gradient, references[i])


@pytest.mark.parametrize("norm_type", [1.5, 2, 3, 4])
def test_second_derivative_at_zeros(norm_type, device):
    """Windows of zeros have derivative 0; single zeros have that of torch, where it is finite."""
    x = data(1, 2, 4, 6).abs() + 0.5
    x[..., :2, :2] = 0
    x[..., 2, 2] = 0
    g, h = data(1, 2, 2, 3, salt="g"), data(1, 2, 4, 6, salt="h")
    results = []
    for pool in (functional.lp_pool2d, F.lp_pool2d):
        leaves = leaf(x.clone(), device), leaf(g.clone(), device)
        y = pool(leaves[0], norm_type, 2)
        (dx,) = torch.autograd.grad(y, leaves[0], leaves[1], create_graph=True)
        results.append(torch.autograd.grad(dx, leaves, h.to(device)))
    for actual, expected in zip(*results, strict=True):
        finite = expected.isfinite()
        torch.testing.assert_close(actual[finite], expected[finite])
        assert torch.equal(actual[~finite], torch.zeros_like(actual[~finite]))


@pytest.mark.parametrize("scale", [1e-30, 1, 1e30])
def test_second_derivative_of_l2_at_extremes(scale, device):
    """Float32 gives the derivatives of float64, beside windows of zeros."""
    values, upstream = data(1, 2, 4, 6).abs() + 0.5, data(1, 2, 4, 6, salt="h")
    values[..., :2, :2] = 0
    results = []
    for dtype in (torch.float32, torch.float64):
        x = leaf((values * scale).to(device, torch.float32).to(dtype), device)
        g = leaf(data(1, 2, 2, 3, salt="g").to(dtype), device)
        y = functional.l2_pool2d(x, 2)
        (dx,) = torch.autograd.grad(y, x, g, create_graph=True)
        results.append(torch.autograd.grad(dx, (x, g), upstream.to(device, dtype)))
    for actual, expected in zip(*results, strict=True):
        unit = expected.abs().max()
        torch.testing.assert_close(actual.double() / unit, expected / unit, rtol=1e-5, atol=1e-6)
    assert not results[0][0][..., :2, :2].any()


def test_third_derivative(device):
    x = leaf(data(1, 2, 4, 4).abs() + 0.5, device)
    h = 1e-4

    def third(x):
        value = functional.l2_pool2d(x, 2).sum()
        for _ in range(2):
            (gradient,) = torch.autograd.grad(value, x, create_graph=True)
            value = gradient.pow(2).sum()
        return value

    (exact,) = torch.autograd.grad(third(x), x)
    for i in range(4):
        step = torch.zeros_like(x)
        step.view(-1)[5 * i] = h
        ends = [third((x + s).detach().requires_grad_()) for s in (step, -step)]
        numeric = (ends[0] - ends[1]) / (2 * h)
        torch.testing.assert_close(exact.view(-1)[5 * i], numeric, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["conv2d", "max_pool2d", "avg_pool2d", "lp_pool2d"])
def test_operator_and_function_have_equal_gradients(name, device):
    x, w = leaf(data(2, 3, 6, 6).abs() + 0.5, device), leaf(data(4, 3, 3, 3), device)
    window = [3, 3], [2, 2], [0, 0]
    pairs = {
        "conv2d": (
            functional.conv2d(x, w),
            ops.conv2d(x, w, None, [1, 1], [0, 0, 0, 0], [1, 1], 1),
        ),
        "max_pool2d": (functional.max_pool2d(x, 3, 2), ops.max_pool2d(x, *window, [1, 1], False)),
        "avg_pool2d": (
            functional.avg_pool2d(x, 3, 2),
            ops.avg_pool2d(x, *window, False, True, None),
        ),
        "lp_pool2d": (
            functional.lp_pool2d(x, 3, 3, 2),
            ops.lp_pool2d(x, 3.0, *window, False),
        ),
    }
    outputs = pairs[name]
    assert torch.equal(*outputs)
    inputs = (x, w) if name == "conv2d" else (x,)
    g = data(*outputs[0].shape, salt="grad").to(device)
    for a, b in zip(*(torch.autograd.grad(y, inputs, g) for y in outputs), strict=True):
        assert torch.equal(a, b)
