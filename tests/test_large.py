"""More than 2^31 elements: every index is computed in 64 bits.

A real map of half precision (4.3 GB), of which windows at the four corners touch little, and a
batch that is expanded from one image and costs no memory. The tests wait for each other, so that
parallel workers never hold two such maps.
"""

import pytest
import torch
import torch.nn.functional as F

import cnnops

ops = torch.ops.cnnops
SIDE = 46342  # SIDE * SIDE > 2^31
# Windows of 2 x 2 at the corners of a map.
WINDOW = [2, 2], [SIDE - 2, SIDE - 2], [0, 0]
CONV = [SIDE - 2, SIDE - 2], [0, 0, 0, 0], [1, 1], 1


@pytest.fixture(autouse=True)
def room_for_a_map(much_memory, request):
    if "device" in request.fixturenames:
        much_memory(request.getfixturevalue("device"), 10e9)


def corners(x):
    """The 4 x 4 map that the windows see."""
    ends = [0, 1, -2, -1]
    return x[..., ends, :][..., ends].contiguous()


def square(device):
    return torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.float16, device=device)


def assert_zero_inside(x):
    """No window reaches the rows between the first and the last two; 1000 at each end are read."""
    assert x[0, 0, 2:1000].count_nonzero() == x[0, 0, -1000:-2].count_nonzero() == 0


def test_large_input(device):
    x = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float16, device=device)
    x[..., -1, :] = 2
    x[..., -1] = 3
    seen = corners(x)
    last, w, g = SIDE - 1, square(device), square(device)

    y, indices = cnnops.functional.max_pool2d(x, *WINDOW[:2], return_indices=True)
    assert y.tolist() == [[[[0, 3], [2, 3]]]]
    assert indices.tolist() == [[[[0, last], [last * SIDE, (SIDE - 2) * SIDE + last]]]]
    torch.testing.assert_close(ops.avg_pool2d(x, *WINDOW, False, True, None), F.avg_pool2d(seen, 2))
    torch.testing.assert_close(ops.lp_pool2d(x, 2.0, *WINDOW, False), F.lp_pool2d(seen, 2, 2))
    torch.testing.assert_close(ops.conv2d(x, w, None, *CONV), F.conv2d(seen, w, stride=2))
    torch.testing.assert_close(
        ops.conv2d_weight_grad(g, x, [1, 1, 2, 2], *CONV),
        torch.nn.grad.conv2d_weight(seen.float(), (1, 1, 2, 2), g.float(), 2).half(),
    )


def test_large_input_gradient(device):
    g, w = square(device), square(device)
    dx = ops.conv2d_input_grad(g, w, [1, 1, SIDE, SIDE], *CONV)
    expected = torch.nn.grad.conv2d_input((1, 1, 4, 4), w.float(), g.float(), 2)
    torch.testing.assert_close(corners(dx), expected.half())
    assert_zero_inside(dx)


def test_large_max_pool2d_gradient(device):
    offsets = torch.full((1, 1, 2, 2), 3, dtype=torch.uint8, device=device)
    dx = ops.max_pool2d_backward(square(device), offsets, [SIDE, SIDE], *WINDOW, [1, 1])
    assert corners(dx)[0, 0, 1::2, 1::2].tolist() == [[1, 2], [3, 4]]
    assert corners(dx).count_nonzero() == 4
    assert_zero_inside(dx)


def test_large_output_of_a_transposed_convolution(device):
    w = torch.ones(1, 1, 1, 1, dtype=torch.float16, device=device)
    step = SIDE - 1
    y = ops.conv_transpose2d(square(device), w, None, [step, step], *CONV[1:])
    assert y.shape == (1, 1, SIDE, SIDE)
    assert torch.equal(y[..., ::step, ::step], square(device))
    assert_zero_inside(y)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_large_batch(memory_format, device):
    """Each image has fewer than 2^31 elements, the batch has more; none of them is copied."""
    image = torch.arange(3 * 64 * 64).remainder(251).view(1, 3, 64, 64).to(device, torch.bfloat16)
    x = image.contiguous(memory_format=memory_format).expand(175_000, -1, -1, -1)
    assert x.numel() > 2**31
    window = [1, 1], [63, 63], [0, 0]
    w = torch.eye(3, dtype=torch.bfloat16, device=device)[:, :, None, None]
    expected = image[..., ::63, ::63].expand(175_000, -1, -1, -1)
    assert torch.equal(ops.max_pool2d(x, *window, [1, 1], False), expected)
    assert torch.equal(ops.avg_pool2d(x, *window, False, True, None), expected)
    assert torch.equal(ops.conv2d(x, w, None, [63, 63], *CONV[1:]), expected)


def test_sizes_of_fake_outputs():
    x = torch.empty(2**20, 2**10, 2**10, 2**10, device="meta")
    y = ops.avg_pool2d(x, [2, 2], [2, 2], [0, 0], False, True, None)
    assert y.shape == (2**20, 2**10, 2**9, 2**9)
