"""max_pool2d, its offsets, indices and gradients against the oracle and torch."""

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import cnnops
import oracle
from cases import DILATED_POOL_CASES, DTYPES, MEMORY_FORMATS, POOL_CASES, PoolCase, data, ids
from checks import assert_same_bits, assert_within, layouts

ops = torch.ops.cnnops
CASES = POOL_CASES + DILATED_POOL_CASES
LAYOUT_CASES = [case for case in CASES if case.name in ("overlapping", "padded_ceil", "dilated")]


def values(case, kind="normal"):
    """Data of a kind: ties, NaN and windows of -inf need their own rules."""
    x = data(*case.input)
    if kind == "ties":
        return x.round().clamp(-1, 1)
    if kind == "nan":
        return torch.where(x > 0.7, torch.nan, x)
    if kind == "inf":
        return torch.where(x > -0.5, -torch.inf, torch.where(x < -1.5, torch.inf, x))
    return x


def torch_reference(x, case):
    return F.max_pool2d(x, *case.window, case.dilation, case.ceil_mode, return_indices=True)


@pytest.mark.parametrize("kind", ["normal", "ties", "nan", "inf"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_forward(case, dtype, kind, device):
    exact = values(case, kind)
    window = *case.window, list(case.dilation)
    output, offsets = oracle.max_pool2d(exact.numpy(), *window, case.ceil_mode)
    indices = oracle.max_pool2d_indices(offsets, case.input[2:], *window)
    output = torch.from_numpy(output).to(dtype)
    for memory_format in MEMORY_FORMATS:
        x = exact.to(device, dtype).contiguous(memory_format=memory_format)
        y = ops.max_pool2d(x, *window, case.ceil_mode)
        torch.testing.assert_close(y.cpu(), output, rtol=0, atol=0, equal_nan=True)
        z, places = ops.max_pool2d_with_offsets(x, *window, case.ceil_mode)
        assert_same_bits(z, y)
        assert np.array_equal(places.cpu(), offsets)
        assert places.stride() == z.stride()
        positions = ops.max_pool2d_indices(places, case.input[2:], *window)
        assert np.array_equal(positions.cpu(), indices)
        assert positions.stride() == z.stride()


@pytest.mark.parametrize("kind", ["normal", "ties", "nan", "inf"])
@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_forward_equals_torch(case, kind, device):
    for dtype, memory_format in product(DTYPES, MEMORY_FORMATS):
        x = values(case, kind).to(device, dtype).contiguous(memory_format=memory_format)
        y, indices = cnnops.functional.max_pool2d(
            x, *case.window, case.dilation, case.ceil_mode, return_indices=True
        )
        # On the CPU: torch's CUDA kernel gives windows of -inf another index.
        reference, places = torch_reference(x.cpu(), case)
        torch.testing.assert_close(y.cpu(), reference, rtol=0, atol=0, equal_nan=True)
        assert torch.equal(indices.cpu(), places)
        assert indices.dtype == places.dtype
        assert y.stride() == reference.stride()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_backward_and_select(case, dtype, device):
    window = *case.window, list(case.dilation)
    exact = values(case)
    _, offsets = oracle.max_pool2d(exact.numpy(), *window, case.ceil_mode)
    indices = oracle.max_pool2d_indices(offsets, case.input[2:], *window)
    grad = data(*offsets.shape, salt="grad")
    dx = oracle.max_pool2d_backward(grad.numpy(), indices, case.input[2:])
    magnitude = oracle.max_pool2d_backward(abs(grad.numpy()), indices, case.input[2:])
    selected = torch.from_numpy(oracle.max_pool2d_select(exact.numpy(), indices)).to(dtype)
    for memory_format in MEMORY_FORMATS:
        x = exact.to(device, dtype).contiguous(memory_format=memory_format)
        g = grad.to(device, dtype).contiguous(memory_format=memory_format)
        _, places = ops.max_pool2d_with_offsets(x, *window, case.ceil_mode)
        actual = ops.max_pool2d_backward(g, places, case.input[2:], *window)
        assert_within(actual, dx, magnitude)
        assert_same_bits(ops.max_pool2d_select(x, places, *window).cpu(), selected)


def test_offset_dtypes(device):
    x = data(1, 1, 40, 40).to(device)
    for kernel, dtype in {
        (16, 16): torch.uint8,
        (16, 17): torch.int32,
        (1, 1): torch.uint8,
    }.items():
        _, offsets = ops.max_pool2d_with_offsets(x, kernel, [1, 1], [0, 0], [1, 1], False)
        assert offsets.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("case", LAYOUT_CASES, ids=ids(LAYOUT_CASES))
def test_any_layout(case, dtype, device):
    window = *case.window, list(case.dilation)
    x = values(case).to(device, dtype)
    expected, offsets = ops.max_pool2d_with_offsets(x, *window, case.ceil_mode)
    g = data(*expected.shape, salt="grad").to(device, dtype)
    dx = ops.max_pool2d_backward(g, offsets, case.input[2:], *window)
    selected = ops.max_pool2d_select(x, offsets, *window)
    for (_, a), (_, b) in zip(layouts(x), layouts(g), strict=True):
        assert_same_bits(ops.max_pool2d(a, *window, case.ceil_mode), expected)
        y, places = ops.max_pool2d_with_offsets(a, *window, case.ceil_mode)
        assert_same_bits(y, expected)
        assert torch.equal(places, offsets)
        assert_same_bits(ops.max_pool2d_backward(b, offsets, case.input[2:], *window), dx)
        assert_same_bits(ops.max_pool2d_backward(g, places, case.input[2:], *window), dx)
        assert_same_bits(ops.max_pool2d_select(a, places, *window), selected)


@pytest.mark.parametrize("order", [(0, 1, 3, 2), (0, 2, 3, 1), (3, 2, 1, 0)])
def test_offsets_in_any_layout(order, device):
    case = PoolCase("", (2, 5, 9, 8), (3, 2), (2, 1), (1, 1))
    window = *case.window, [1, 1]
    x = values(case).to(device)
    y, offsets = ops.max_pool2d_with_offsets(x, *window, False)
    g = data(*y.shape, salt="grad").to(device)
    back = [order.index(d) for d in range(4)]
    permuted = offsets.permute(order).contiguous().permute(back)
    assert_same_bits(
        ops.max_pool2d_backward(g, permuted, case.input[2:], *window),
        ops.max_pool2d_backward(g, offsets, case.input[2:], *window),
    )
    assert_same_bits(
        ops.max_pool2d_select(x, permuted, *window), ops.max_pool2d_select(x, offsets, *window)
    )
    assert torch.equal(
        ops.max_pool2d_indices(permuted, case.input[2:], *window),
        ops.max_pool2d_indices(offsets, case.input[2:], *window),
    )


@pytest.mark.parametrize("dim", range(4))
def test_expanded(dim, device):
    case = LAYOUT_CASES[0]
    window = *case.window, list(case.dilation)
    x = values(case).to(device, torch.float32).narrow(dim, 0, 1).expand(case.input)
    y, offsets = ops.max_pool2d_with_offsets(x, *window, False)
    expected = ops.max_pool2d_with_offsets(x.contiguous(), *window, False)
    assert_same_bits(y, expected[0])
    assert torch.equal(offsets, expected[1])
    g = data(*y.shape).to(device, torch.float32).narrow(dim, 0, 1).expand(y.shape)
    assert_same_bits(
        ops.max_pool2d_backward(g, offsets, case.input[2:], *window),
        ops.max_pool2d_backward(g.contiguous(), offsets, case.input[2:], *window),
    )


@pytest.mark.parametrize("kind", ["normal", "ties", "nan"])
@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_gradient_equals_torch(case, kind, device):
    x = values(case, kind).to(device).requires_grad_()
    arguments = (*case.window, case.dilation, case.ceil_mode)
    y = cnnops.functional.max_pool2d(x, *arguments)
    g = data(*y.shape, salt="grad").to(device)
    (actual,) = torch.autograd.grad(y, x, g)
    (reference,) = torch.autograd.grad(F.max_pool2d(x, *arguments), x, g)
    torch.testing.assert_close(actual, reference)


def test_a_window_that_misses_the_map(device):
    """Dilation steps over a map of one element: -inf, as in torch, and no gradient."""
    x = torch.ones(1, 1, 1, 1, device=device, requires_grad=True)
    y = cnnops.functional.max_pool2d(x, 2, 1, 1, 2)
    assert torch.equal(y.detach(), torch.full_like(y, -torch.inf))
    (dx,) = torch.autograd.grad(y, x, torch.ones_like(y))
    assert torch.equal(dx, torch.zeros_like(x))


def test_unbatched(device):
    x = data(3, 7, 8).to(device)
    for y, z in zip(
        cnnops.functional.max_pool2d(x, 3, 2, 1, return_indices=True),
        cnnops.functional.max_pool2d(x[None], 3, 2, 1, return_indices=True),
        strict=True,
    ):
        assert y.dim() == 3
        assert torch.equal(y, z[0])


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("size", [(2, 3, 6, 7), (1, 3, 6, 7), (2, 1, 6, 7), (0, 3, 6, 7)])
def test_memory_format_is_that_of_torch(size, memory_format, device):
    x = data(*size).to(device).contiguous(memory_format=memory_format).requires_grad_()
    y, reference = (f.max_pool2d(x, 2) for f in (cnnops.functional, F))
    assert y.stride() == reference.stride()
    (dx,), (expected,) = (torch.autograd.grad(z, x, z.detach()) for z in (y, reference))
    assert dx.stride() == expected.stride()
