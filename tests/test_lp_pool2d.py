"""lp_pool2d, l2_pool2d and their gradients against the oracle and torch."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F

import cnnops
import oracle
from cases import DTYPES, MEMORY_FORMATS, POOL_CASES, data, ids
from checks import assert_same_bits, assert_within, layouts

ops = torch.ops.cnnops
NORMS = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0]
LAYOUT_CASES = [case for case in POOL_CASES if case.name in ("overlapping", "padded_ceil")]
TORCH_CASES = [case for case in POOL_CASES if case.padding == (0, 0)]
EXTREMES = {
    torch.float64: [1e200, 1e-200],
    torch.float32: [1e30, 1e-30],
    torch.bfloat16: [1e30, 1e-30],
    torch.float16: [1e4, 1e-4],
}


def values(size, norm_type, salt="input"):
    """Of any sign for even norms, else positive, where every term of a sum is."""
    x = data(*size, salt=salt)
    return x if norm_type in (2, 4) else (x.abs() + 0.125).bfloat16().half().double()


@pytest.mark.parametrize("norm_type", NORMS)
@pytest.mark.parametrize("case", POOL_CASES, ids=ids(POOL_CASES))
def test_forward(case, norm_type, device):
    exact = values(case.input, norm_type)
    expected = oracle.lp_pool2d(exact.numpy(), norm_type, *case.window, case.ceil_mode)
    for dtype, memory_format in product(DTYPES, MEMORY_FORMATS):
        x = exact.to(device, dtype).contiguous(memory_format=memory_format)
        y = ops.lp_pool2d(x, norm_type, *case.window, case.ceil_mode)
        assert_within(y, expected, abs(expected) * max(1, 1 / norm_type))


@pytest.mark.parametrize("norm_type", NORMS)
@pytest.mark.parametrize("case", POOL_CASES, ids=ids(POOL_CASES))
def test_backward(case, norm_type, device):
    options = (norm_type, *case.window, case.ceil_mode)
    exact = values(case.input, norm_type)
    for dtype, memory_format in product(DTYPES, MEMORY_FORMATS):
        x = exact.to(device, dtype).contiguous(memory_format=memory_format)
        y = ops.lp_pool2d(x, *options)
        g = data(*y.shape, salt="grad").to(device, dtype).contiguous(memory_format=memory_format)
        arrays = [t.cpu().double().numpy() for t in (g, x, y)]
        expected = oracle.lp_pool2d_backward(*arrays, *options)
        magnitude = oracle.lp_pool2d_backward(*map(abs, arrays), *options)
        assert_within(ops.lp_pool2d_backward(g, x, y, *options), expected, magnitude)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("norm_type", [-1, -2, 0.5])
@pytest.mark.parametrize("case", TORCH_CASES, ids=ids(TORCH_CASES))
def test_unusual_norms_equal_torch(case, norm_type, memory_format, device):
    arguments = (norm_type, case.kernel_size, case.stride, case.ceil_mode)
    x = values(case.input, norm_type).to(device).contiguous(memory_format=memory_format)
    x.requires_grad_()
    y, reference = (f.lp_pool2d(x, *arguments) for f in (cnnops.functional, F))
    torch.testing.assert_close(y, reference)
    g = data(*y.shape, salt="grad").to(device)
    torch.testing.assert_close(*(torch.autograd.grad(z, x, g) for z in (y, reference)))


@pytest.mark.parametrize("norm_type", [1, 1.5, 2, 3, 4])
@pytest.mark.parametrize("case", TORCH_CASES, ids=ids(TORCH_CASES))
def test_equals_torch(case, norm_type, device):
    """Signs included: an odd norm may be negative or NaN, and is NaN where torch's is."""
    arguments = (norm_type, case.kernel_size, case.stride, case.ceil_mode)
    for dtype in (torch.float64, torch.float32):
        x = data(*case.input).to(device, dtype).requires_grad_()
        y, reference = (f.lp_pool2d(x, *arguments) for f in (cnnops.functional, F))
        tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {}
        torch.testing.assert_close(y, reference, equal_nan=True, **tolerance)
        if norm_type in (1, 2, 4):
            g = data(*y.shape, salt="grad").to(device, dtype)
            actual, expected = (torch.autograd.grad(z, x, g)[0] for z in (y, reference))
            torch.testing.assert_close(actual, expected, **tolerance)


def test_signs(device):
    x = torch.tensor([[3.0, -1.0], [-2.0, 1.0]], device=device)[None, None]
    for norm_type, expected in {1: 1.0, 2: 15**0.5, 3: 19 ** (1 / 3), 4: 99**0.25}.items():
        y = cnnops.functional.lp_pool2d(x, norm_type, 2)
        torch.testing.assert_close(y.item(), expected, rtol=1e-6, atol=0)
    assert cnnops.functional.lp_pool2d(-x, 1, 2).item() == -1
    for norm_type in (1.5, 3):
        assert cnnops.functional.lp_pool2d(-x, norm_type, 2).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("norm_type", [2.0, 3.0])
@pytest.mark.parametrize("case", LAYOUT_CASES, ids=ids(LAYOUT_CASES))
def test_any_layout(case, norm_type, dtype, device):
    options = (norm_type, *case.window, case.ceil_mode)
    x = values(case.input, norm_type).to(device, dtype)
    y = ops.lp_pool2d(x, *options)
    g = data(*y.shape, salt="grad").to(device, dtype)
    arrays = [t.cpu().double().numpy() for t in (x, g, y)]
    forward = oracle.lp_pool2d(arrays[0], *options)
    backward = oracle.lp_pool2d_backward(arrays[1], arrays[0], arrays[2], *options)
    magnitude = oracle.lp_pool2d_backward(*map(abs, (arrays[1], arrays[0], arrays[2])), *options)
    for (_, a), (_, b), (_, c) in zip(layouts(x), layouts(g), layouts(y), strict=True):
        assert_within(ops.lp_pool2d(a, *options), forward, forward)
        for tensors in ((b, x, y), (g, a, y), (g, x, c)):
            assert_within(ops.lp_pool2d_backward(*tensors, *options), backward, magnitude)


@pytest.mark.parametrize("dim", range(4))
def test_expanded(dim, device):
    case = LAYOUT_CASES[0]
    options = (2.0, *case.window, case.ceil_mode)
    x = data(*case.input).to(device).narrow(dim, 0, 1).expand(case.input)
    y = ops.lp_pool2d(x, *options)
    torch.testing.assert_close(y, ops.lp_pool2d(x.contiguous(), *options))
    g = y.narrow(dim, 0, 1).expand(y.shape)
    torch.testing.assert_close(
        ops.lp_pool2d_backward(g, x, y, *options),
        ops.lp_pool2d_backward(g.contiguous(), x.contiguous(), y, *options),
    )


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_l2_neither_overflows_nor_underflows(dtype, memory_format, device):
    """Windows of the largest values lie beside windows of the smallest, and some hold both."""
    large, small = EXTREMES[dtype]
    window = [2, 2], [1, 1], [0, 0]
    unit = data(2, 5, 6, 8).abs() + 0.5
    scale = torch.full((8,), small, dtype=torch.float64)
    scale[4:] = large
    x = (unit * scale).to(dtype)
    scaled = x.double() / scale
    crossing = scaled.clone()
    crossing[..., 3] *= small / large
    outputs = {}
    for columns, scales in {(0, 4): small, (3, 8): large}.items():
        source = crossing if columns[0] == 3 else scaled
        part = source[..., columns[0] : columns[1]].numpy()
        outputs[columns] = torch.from_numpy(oracle.lp_pool2d(part, 2.0, *window, False)) * scales
    expected = torch.cat(list(outputs.values()), 3)
    x = x.to(device).contiguous(memory_format=memory_format)
    y = ops.lp_pool2d(x, 2.0, *window, False)
    assert_within(y, expected, expected)
    g = data(*y.shape, salt="grad").to(device, dtype)
    arrays = [t.cpu().double().numpy() for t in (g, x, y)]
    dx = ops.lp_pool2d_backward(g, x, y, 2.0, *window, False)
    magnitude = oracle.lp_pool2d_backward(*map(abs, arrays), 2.0, *window, False)
    assert_within(dx, oracle.lp_pool2d_backward(*arrays, 2.0, *window, False), magnitude)


@pytest.mark.parametrize("norm_type", [1.0, 1.5, 2.0, 3.0, 4.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_windows_of_zeros_have_gradient_0(dtype, norm_type, device):
    x = torch.zeros(2, 3, 6, 6, dtype=dtype, device=device)
    x[1, 1, 4, 4] = 2
    x.requires_grad_()
    y = cnnops.functional.lp_pool2d(x, norm_type, 3, 1)
    (dx,) = torch.autograd.grad(y.sum(), x)
    # Windows that hold the one value have y = 2; their zeros count only where x^(p - 1) is not 0.
    expected = torch.zeros_like(dx)
    expected[1, 1, 4, 4] = 4
    if norm_type == 1:
        expected[1, 1] = torch.tensor([0, 0, 1, 2, 2, 1]).outer(torch.tensor([0, 0, 1, 2, 2, 1]))
    torch.testing.assert_close(dx, expected)


@pytest.mark.parametrize("kind", ["float32", "float64", "int64"])
def test_norm_type_of_numpy(kind, device):
    norm_type = getattr(pytest.importorskip("numpy"), kind)(2)
    x = data(2, 3, 6, 6).to(device)
    assert torch.equal(
        cnnops.functional.lp_pool2d(x, norm_type, 2), cnnops.functional.lp_pool2d(x, 2, 2)
    )


def test_all_zero(device):
    for memory_format in MEMORY_FORMATS:
        x = torch.zeros(2, 3, 5, 5, device=device).contiguous(memory_format=memory_format)
        x.requires_grad_()
        y = cnnops.functional.l2_pool2d(x, 3, 2, 1, True)
        (dx,) = torch.autograd.grad(y.sum(), x)
        assert torch.equal(y, torch.zeros_like(y))
        assert torch.equal(dx, torch.zeros_like(dx))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_non_finite_values_stay_in_their_windows(value, device):
    x = torch.ones(1, 20, 6, 6, device=device)
    x[0, 3, 2, 2] = value
    y = cnnops.functional.l2_pool2d(x, 2)
    assert torch.equal(~y.isfinite(), x[..., ::2, ::2] != 1)
    torch.testing.assert_close(y[0, 3, 1, 1].item(), abs(value), equal_nan=True)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("width", [16, 40])
def test_samples_without_a_window_have_gradient_0(width, memory_format, device):
    x = torch.ones(2, 20, 16, width, device=device).contiguous(memory_format=memory_format)
    x[..., -1, :] = torch.inf
    x[..., -1] = torch.nan
    x.requires_grad_()
    (dx,) = torch.autograd.grad(cnnops.functional.l2_pool2d(x, 3, 2).sum(), x)
    assert torch.equal(dx != 0, x.isfinite())


@pytest.mark.parametrize("padding", [0, 1, (1, 0)])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_l2_is_the_root_of_averaged_squares(padding, ceil_mode, device):
    x = data(2, 3, 7, 8).to(device).requires_grad_()
    y = cnnops.functional.l2_pool2d(x, 3, 2, padding, ceil_mode)
    reference = (F.avg_pool2d(x * x, 3, 2, padding, ceil_mode) * 9).sqrt()
    torch.testing.assert_close(y, reference)
    g = data(*y.shape, salt="grad").to(device)
    torch.testing.assert_close(*(torch.autograd.grad(z, x, g) for z in (y, reference)))


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
def test_smallest_sample_counts_for_negative_norms(memory_format, device):
    x = torch.full((1, 2, 3, 3), 1e10, device=device).contiguous(memory_format=memory_format)
    x[..., 1, 1] = 1e-10
    y = cnnops.functional.lp_pool2d(x, -2, 2, 2, ceil_mode=True)
    torch.testing.assert_close(y, F.lp_pool2d(x, -2, 2, 2, ceil_mode=True))


def test_unbatched(device):
    x = data(3, 7, 8).to(device)
    for pool in (cnnops.functional.l2_pool2d, lambda x, *a: cnnops.functional.lp_pool2d(x, 4, *a)):
        y = pool(x, 3, 2)
        assert y.dim() == 3
        assert_same_bits(y, pool(x[None], 3, 2)[0])


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("size", [(2, 3, 6, 7), (1, 3, 6, 7), (2, 1, 6, 7), (0, 3, 6, 7)])
def test_memory_format_is_that_of_torch(size, memory_format, device):
    x = data(*size).to(device).contiguous(memory_format=memory_format).requires_grad_()
    y, reference = (f.lp_pool2d(x, 2, 2) for f in (cnnops.functional, F))
    assert y.stride() == reference.stride()
    (dx,), (expected,) = (torch.autograd.grad(z, x, z.detach()) for z in (y, reference))
    assert dx.stride() == expected.stride()
