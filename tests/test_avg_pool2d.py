"""avg_pool2d and its gradient against the oracle and torch."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F

import cnnops
import oracle
from cases import DTYPES, MEMORY_FORMATS, POOL_CASES, ConvCase, data, ids
from checks import algorithms, assert_same_bits, assert_within, forced, layouts

ops = torch.ops.cnnops
COUNTING = [(True, None), (False, None), (True, 7), (False, 1)]
LAYOUT_CASES = [case for case in POOL_CASES if case.name in ("overlapping", "padded_ceil")]


@pytest.mark.parametrize("count_include_pad, divisor_override", COUNTING)
@pytest.mark.parametrize("case", POOL_CASES, ids=ids(POOL_CASES))
def test_forward(case, count_include_pad, divisor_override, device):
    options = (*case.window, case.ceil_mode, count_include_pad, divisor_override)
    exact = data(*case.input)
    expected = oracle.avg_pool2d(exact.numpy(), *options)
    magnitude = oracle.avg_pool2d(abs(exact.numpy()), *options)
    for dtype, memory_format in product(DTYPES, MEMORY_FORMATS):
        x = exact.to(device, dtype).contiguous(memory_format=memory_format)
        y = ops.avg_pool2d(x, *options)
        assert_within(y, expected, magnitude)
        assert y.stride() == F.avg_pool2d(x, *options).stride()


@pytest.mark.parametrize("count_include_pad, divisor_override", COUNTING)
@pytest.mark.parametrize("case", POOL_CASES, ids=ids(POOL_CASES))
def test_backward(case, count_include_pad, divisor_override, device):
    options = (*case.window, case.ceil_mode, count_include_pad, divisor_override)
    size = oracle.pool2d_size(case.input[2:], *case.window, case.dilation, case.ceil_mode)
    grad = data(*case.input[:2], *size)
    expected = oracle.avg_pool2d_backward(grad.numpy(), case.input[2:], *options)
    magnitude = oracle.avg_pool2d_backward(abs(grad.numpy()), case.input[2:], *options)
    for dtype, memory_format in product(DTYPES, MEMORY_FORMATS):
        g = grad.to(device, dtype).contiguous(memory_format=memory_format)
        assert_within(ops.avg_pool2d_backward(g, case.input[2:], *options), expected, magnitude)


@pytest.mark.parametrize("count_include_pad, divisor_override", COUNTING)
@pytest.mark.parametrize("case", POOL_CASES, ids=ids(POOL_CASES))
def test_equals_torch(case, count_include_pad, divisor_override, device):
    options = (*case.window, case.ceil_mode, count_include_pad, divisor_override)
    x = data(*case.input).to(device).requires_grad_()
    y, reference = (f.avg_pool2d(x, *options) for f in (cnnops.functional, F))
    torch.testing.assert_close(y, reference)
    g = data(*y.shape, salt="grad").to(device)
    torch.testing.assert_close(*(torch.autograd.grad(z, x, g) for z in (y, reference)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("case", LAYOUT_CASES, ids=ids(LAYOUT_CASES))
def test_any_layout(case, dtype, device):
    options = (*case.window, case.ceil_mode, False, None)
    exact = data(*case.input)
    y, dy = (oracle.avg_pool2d(x, *options) for x in (exact.numpy(), abs(exact.numpy())))
    grad = data(*y.shape, salt="grad")
    dx, ddx = (
        oracle.avg_pool2d_backward(g, case.input[2:], *options)
        for g in (grad.numpy(), abs(grad.numpy()))
    )
    for _, x in layouts(exact.to(device, dtype)):
        assert_within(ops.avg_pool2d(x, *options), y, dy)
    for _, g in layouts(grad.to(device, dtype)):
        assert_within(ops.avg_pool2d_backward(g, case.input[2:], *options), dx, ddx)


@pytest.mark.parametrize("dim", range(4))
def test_expanded(dim, device):
    case = LAYOUT_CASES[0]
    options = (*case.window, case.ceil_mode, True, None)
    x = data(*case.input).to(device).narrow(dim, 0, 1).expand(case.input)
    y = ops.avg_pool2d(x, *options)
    torch.testing.assert_close(y, ops.avg_pool2d(x.contiguous(), *options))
    g = y.narrow(dim, 0, 1).expand(y.shape)
    torch.testing.assert_close(
        ops.avg_pool2d_backward(g, case.input[2:], *options),
        ops.avg_pool2d_backward(g.contiguous(), case.input[2:], *options),
    )


@pytest.mark.parametrize("kernel, stride, padding", [((2, 2), (2, 2), 0), ((3, 4), (2, 1), 1)])
def test_is_a_depthwise_convolution(kernel, stride, padding, device):
    case = ConvCase("", (2, 5, 9, 10), (5, 1, *kernel), stride, (padding,) * 4, groups=5)
    window = list(kernel), list(stride), [padding, padding]
    x, g = data(*case.input), data(*case.output)
    w = torch.full(case.weight, 1 / (kernel[0] * kernel[1]), dtype=torch.float64)
    for dtype in (torch.float64, torch.float32):
        average = ops.avg_pool2d(x.to(device, dtype), *window, False, True, None)
        magnitude = F.conv2d(x.abs(), w, None, stride, padding, 1, 5)
        for name in algorithms("forward", case, dtype, device):
            with forced(name) as factor:
                y = ops.conv2d(x.to(device, dtype), w.to(device, dtype), None, *case.options)
            assert_within(average, y, magnitude, factor)
        spread = ops.avg_pool2d_backward(
            g.to(device, dtype), case.input[2:], *window, False, True, None
        )
        magnitude = F.conv_transpose2d(
            g.abs(), w, None, stride, padding, _left_over(case, kernel, stride, padding), 5
        )
        for name in algorithms("input_grad", case, dtype, device):
            with forced(name) as factor:
                dx = ops.conv2d_input_grad(
                    g.to(device, dtype), w.to(device, dtype), case.input, *case.options
                )
            assert_within(spread, dx, magnitude, factor)


def _left_over(case, kernel, stride, padding):
    """Rows and columns behind the last window."""
    return [(case.input[2 + d] + 2 * padding - kernel[d]) % stride[d] for d in (0, 1)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_accumulate_in_float32(dtype, device):
    x = torch.ones(1, 1, 64, 64, dtype=dtype, device=device)
    y = ops.avg_pool2d(x, [64, 64], [1, 1], [0, 0], False, True, None)
    assert y.item() == 1
    g = torch.ones(1, 1, 64, 64, dtype=dtype, device=device)
    dx = ops.avg_pool2d_backward(g, [127, 127], [64, 64], [1, 1], [0, 0], False, True, 64)
    assert dx[0, 0, 63, 63].item() == 64


def test_unbatched(device):
    x = data(3, 7, 8).to(device)
    y = cnnops.functional.avg_pool2d(x, 3, 2, 1)
    assert y.dim() == 3
    assert_same_bits(y, cnnops.functional.avg_pool2d(x[None], 3, 2, 1)[0])


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("size", [(2, 3, 6, 7), (1, 3, 6, 7), (2, 1, 6, 7), (0, 3, 6, 7)])
def test_memory_format_is_that_of_torch(size, memory_format, device):
    x = data(*size).to(device).contiguous(memory_format=memory_format).requires_grad_()
    y, reference = (f.avg_pool2d(x, 2) for f in (cnnops.functional, F))
    assert y.stride() == reference.stride()
    (dx,), (expected,) = (torch.autograd.grad(z, x, z.detach()) for z in (y, reference))
    assert dx.stride() == expected.stride()
