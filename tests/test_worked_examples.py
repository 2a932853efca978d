"""The lecture notes' examples, computed by hand, for every algorithm and dtype that holds them."""

import math

import pytest
import torch

import cnnops
from cases import DTYPES, ConvCase
from checks import algorithms, assert_within, forced

ops = torch.ops.cnnops
WIDE_DTYPES = [torch.float64, torch.float32]


def tensor(rows, dtype, device):
    """A nested list as a 4-D tensor, with leading axes of size 1."""
    values = torch.tensor(rows, dtype=dtype, device=device)
    return values[(None,) * (4 - values.dim())]


def convolutions(x, w, bias=None, stride=1, padding=0):
    """The forward result of every algorithm that takes the problem, with its error factor."""
    case = ConvCase("", tuple(x.shape), tuple(w.shape), (stride,) * 2, (padding,) * 4)
    names = algorithms("forward", case, x.dtype, x.device)
    assert names
    for name in names:
        with forced(name) as factor:
            yield ops.conv2d(x, w, bias, *case.options), factor


def assert_exact(actual, rows):
    torch.testing.assert_close(
        actual.double().cpu().reshape(-1), torch.tensor(rows).double().reshape(-1), rtol=0, atol=0
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_valid_convolution_shape(dtype, device):
    x, w = torch.ones(1, 1, 3, 4), torch.ones(1, 1, 2, 2)
    for y, _ in convolutions(x.to(device, dtype), w.to(device, dtype)):
        assert y.shape == (1, 1, 2, 3)
        assert_exact(y, [4] * 6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_two_filters_over_a_binary_image(dtype, device):
    image = [
        [1, 0, 0, 0, 0, 1],
        [0, 1, 0, 0, 1, 0],
        [0, 0, 1, 1, 0, 0],
        [1, 0, 0, 0, 1, 0],
        [0, 1, 0, 0, 1, 0],
        [0, 0, 1, 0, 1, 0],
    ]
    filters = [[[[1, -1, -1], [-1, 1, -1], [-1, -1, 1]]], [[[-1, 1, -1]] * 3]]
    expected = [
        [[3, -1, -3, -1], [-3, 1, 0, -3], [-3, -3, 0, 1], [3, -2, -2, -1]],
        [[-1, -1, -1, -1], [-1, -1, -2, 1], [-1, -1, -2, 1], [-1, 0, -4, 3]],
    ]
    x, w = tensor(image, dtype, device), tensor(filters, dtype, device)
    for y, _ in convolutions(x, w):
        assert_exact(y, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_colour_image_with_stride_2(dtype, device):
    image = [
        [[2, 2, 0, 2, 2], [2, 1, 1, 1, 0], [2, 2, 2, 0, 1], [1, 2, 1, 0, 2], [1, 0, 2, 2, 0]],
        [[0, 0, 2, 0, 1], [0, 0, 0, 1, 0], [2, 1, 0, 2, 1], [2, 0, 2, 0, 0], [1, 0, 1, 2, 1]],
        [[0, 1, 2, 0, 0], [0, 0, 1, 1, 0], [1, 2, 2, 0, 1], [1, 1, 1, 1, 1], [0, 0, 2, 2, 2]],
    ]
    filters = [
        [
            [[0, 0, 1], [-1, 0, -1], [1, -1, 0]],
            [[-1, 0, 1], [-1, -1, 1], [-1, 1, -1]],
            [[0, -1, 1], [0, 0, 0], [1, 0, -1]],
        ],
        [
            [[1, 0, 1], [1, 0, 1], [0, 1, 0]],
            [[-1, 0, 1], [1, 0, 0], [-1, 1, -1]],
            [[0, -1, -1], [1, 0, 1], [0, 0, 1]],
        ],
    ]
    expected = [
        [[-3, -7, -1], [-1, 5, -4], [2, 0, -5]],
        [[5, 6, 1], [9, 10, 4], [0, 4, 5]],
    ]
    bias = torch.tensor([1, 0], dtype=dtype, device=device)
    x, w = tensor(image, dtype, device), tensor(filters, dtype, device)
    for y, _ in convolutions(x, w, bias, stride=2, padding=1):
        assert y.shape == (1, 2, 3, 3)
        assert_exact(y, expected)


def test_parameters_of_one_filter():
    module = cnnops.Conv2d(3, 1, 5)
    assert module.weight.numel() == 75
    assert module.bias.numel() == 1


@pytest.mark.parametrize("m, k", [(5, 3), (6, 3), (7, 5), (8, 1), (9, 2), (9, 4)])
def test_output_sizes(m, k, device):
    x, w = torch.ones(1, 1, m, m, device=device), torch.ones(1, 1, k, k, device=device)
    sizes = {
        mode: cnnops.functional.conv2d(x, w, padding=mode).shape
        for mode in ("full", "valid", "same")
    }
    assert sizes["full"] == (1, 1, m + k - 1, m + k - 1)
    assert sizes["valid"] == (1, 1, m - k + 1, m - k + 1)
    assert sizes["same"] == (1, 1, m, m)


@pytest.mark.parametrize("m, k", [(5, 3), (6, 3), (7, 5), (9, 2)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_output_size_formula(m, k, stride, padding, device):
    x, w = torch.ones(1, 1, m, m, device=device), torch.ones(1, 1, k, k, device=device)
    y = cnnops.functional.conv2d(x, w, stride=stride, padding=padding)
    side = math.floor((m - k + 2 * padding) / stride) + 1
    assert y.shape == (1, 1, side, side)
    if padding == 0:
        assert side == math.floor((m - k + stride) / stride)


@pytest.mark.parametrize("dtype", DTYPES)
def test_weight_gradient_terms(dtype, device):
    x = torch.tensor([[1, -2, 3], [4, 5, -6], [-7, 8, 9]], dtype=dtype, device=device)
    d = torch.tensor([[2, -3], [5, 7]], dtype=dtype, device=device)
    expected = [[(x[p : p + 2, q : q + 2] * d).sum().item() for q in range(2)] for p in range(2)]
    case = ConvCase("", (1, 1, 3, 3), (1, 1, 2, 2))
    for name in algorithms("weight_grad", case, dtype, device):
        with forced(name):
            dw = ops.conv2d_weight_grad(d[None, None], x[None, None], case.weight, *case.options)
        assert_exact(dw, expected)
    assert_exact(ops.conv2d_bias_grad(d[None, None]), [11])


@pytest.mark.parametrize("dtype", WIDE_DTYPES)
def test_input_gradient_by_the_rotated_filter(dtype, device):
    w = tensor([[1, 1], [0, 1]], dtype, device)
    d = tensor([[0.2, 0.1, 0.1], [0.1, 0.2, 0.2], [0.2, 0.1, 0.2]], dtype, device)
    expected = torch.tensor(
        [[0.2, 0.3, 0.2, 0.1], [0.1, 0.5, 0.5, 0.3], [0.2, 0.4, 0.5, 0.4], [0, 0.2, 0.1, 0.2]],
        dtype=torch.float64,
    )[None, None]
    case = ConvCase("", (1, 1, 4, 4), (1, 1, 2, 2))
    for name in algorithms("input_grad", case, dtype, device):
        with forced(name) as factor:
            dx = ops.conv2d_input_grad(d, w, case.input, *case.options)
        assert_within(dx, expected, expected, factor)
    rotated = torch.rot90(w, 2, (2, 3))
    for y, factor in convolutions(d, rotated, padding=1):
        assert_within(y, expected, expected, factor)
    db = ops.conv2d_bias_grad(d)
    assert_within(db, torch.tensor([1.4]).double().round(decimals=1), torch.tensor([1.4]))


def test_update(device):
    x, d = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, -1.0])
    w = torch.tensor([[[[0.5, 0.25]]]], device=device, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.125)
    y = cnnops.functional.conv2d(x.view(1, 1, 1, 3).to(device), w)
    y.backward(d.view(1, 1, 1, 2).to(device))
    optimizer.step()
    assert_exact(w.grad, [0, 1])
    assert_exact(w.detach(), [0.5, 0.125])


@pytest.mark.parametrize("dtype", DTYPES)
def test_fully_connected_layer_in_matrix_form(dtype, device):
    x = torch.tensor([[1, -2, 3], [0, 4, -1]], dtype=dtype, device=device)
    w = torch.tensor([[2, 1], [-3, 5], [4, -1]], dtype=dtype, device=device)
    d = torch.tensor([[1, -2], [3, 2]], dtype=dtype, device=device)
    case = ConvCase("", (2, 3, 1, 1), (2, 3, 1, 1))
    maps, kernel, grad = x[:, :, None, None], w.t()[:, :, None, None], d[:, :, None, None]
    for y, _ in convolutions(maps, kernel):
        assert_exact(y, (x.double() @ w.double()).tolist())
    for name in algorithms("weight_grad", case, dtype, device):
        with forced(name):
            dw = ops.conv2d_weight_grad(grad, maps, case.weight, *case.options)
        assert_exact(dw, (x.double().t() @ d.double()).t().tolist())
    for name in algorithms("input_grad", case, dtype, device):
        with forced(name):
            dx = ops.conv2d_input_grad(grad, kernel, case.input, *case.options)
        assert_exact(dx, (d.double() @ w.double().t()).tolist())


@pytest.mark.parametrize("dtype", DTYPES)
def test_pooling_with_overlapping_windows(dtype, device):
    x = tensor([[2, 3, 3], [1, 2, 2], [2, 3, 1]], dtype, device)
    window = [2, 2], [1, 1], [0, 0]
    assert_exact(ops.max_pool2d(x, *window, [1, 1], False), [3, 3, 3, 3])
    assert_exact(ops.avg_pool2d(x, *window, False, True, None), [2, 2.5, 2, 2])
    roots = torch.tensor([18.0, 26.0, 18.0, 18.0]).double().sqrt().view(1, 1, 2, 2)
    assert_within(ops.lp_pool2d(x, 2.0, *window, False), roots, roots)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pooling_with_separate_windows(dtype, device):
    x = tensor([[23, 7, 7, 8], [10, 1, 9, 0], [4, 4, 11, 6], [2, 5, 12, 7]], dtype, device)
    window = [2, 2], [2, 2], [0, 0]
    assert_exact(ops.max_pool2d(x, *window, [1, 1], False), [23, 9, 5, 12])
    assert_exact(ops.avg_pool2d(x, *window, False, True, None), [10.25, 6, 3.75, 9])


@pytest.mark.parametrize("dtype", DTYPES)
def test_current_fashion(dtype, device):
    x = torch.arange(49, dtype=dtype, device=device).view(1, 1, 7, 7)
    y = ops.max_pool2d(x, [3, 3], [2, 2], [0, 0], [1, 1], False)
    assert_exact(y, [16, 18, 20, 30, 32, 34, 44, 46, 48])


@pytest.mark.parametrize("dtype", DTYPES)
def test_average_pooling_is_a_depthwise_convolution(dtype, device):
    case = ConvCase("", (2, 3, 6, 8), (3, 1, 2, 2), (2, 2), groups=3)
    x = torch.randint(-8, 8, case.input).to(device, dtype)
    grad = torch.randint(-8, 8, case.output).to(device, dtype)
    quarter = torch.full(case.weight, 0.25, dtype=dtype, device=device)
    window = [2, 2], [2, 2], [0, 0]
    average = ops.avg_pool2d(x, *window, False, True, None)
    for name in algorithms("forward", case, dtype, device):
        with forced(name):
            assert_exact(ops.conv2d(x, quarter, None, *case.options), average.tolist())
    spread = ops.avg_pool2d_backward(grad, [6, 8], *window, False, True, None)
    for name in algorithms("input_grad", case, dtype, device):
        with forced(name):
            dx = ops.conv2d_input_grad(grad, quarter, case.input, *case.options)
        assert_exact(dx, spread.tolist())


@pytest.mark.parametrize("dtype", DTYPES)
def test_l2_pooling_is_square_convolution_and_root(dtype, device):
    case = ConvCase("", (2, 3, 6, 8), (3, 1, 2, 2), (2, 2), groups=3)
    x = torch.randint(-5, 6, case.input).to(device, dtype)
    ones = torch.ones(case.weight, dtype=dtype, device=device)
    pooled = ops.lp_pool2d(x, 2.0, [2, 2], [2, 2], [0, 0], False)
    for name in algorithms("forward", case, dtype, device):
        with forced(name):
            squares = ops.conv2d(x * x, ones, None, *case.options)
        roots = squares.double().cpu().sqrt()
        assert_within(pooled, roots, roots)
