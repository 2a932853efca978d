"""More than 2^31 elements: every index is computed in 64 bits.

Inputs are either expanded from a few elements, which costs no memory, or one real tensor of half
precision (4.3 GB), of which large strides touch little. The tests wait for each other, so that
parallel workers never hold two such tensors.
"""

import fcntl

import cnnops
import pytest
import torch
import torch.nn.functional as F

ops = torch.ops.cnnops
SIDE = 46342  # SIDE * SIDE > 2^31


@pytest.fixture(autouse=True)
def one_at_a_time(tmp_path_factory):
    with open(tmp_path_factory.getbasetemp().parent / "large.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(autouse=True)
def no_poison():
    """Filling gigabytes with NaN would take most of the time here."""
    torch.utils.deterministic.fill_uninitialized_memory = False
    yield
    torch.utils.deterministic.fill_uninitialized_memory = True


@pytest.fixture(scope="module")
def plane():
    """A map of zeros of over 2^31 elements, but for its last row and column."""
    x = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.bfloat16)
    x[..., -1, :] = 2
    x[..., -1] = 3
    yield x


def test_max_pool2d(plane):
    step = SIDE - 2  # windows at the first and the last two rows and columns
    y, indices = cnnops.functional.max_pool2d(plane, 2, step, return_indices=True)
    assert y.tolist() == [[[[0, 3], [2, 3]]]]
    last = SIDE - 1
    assert indices.tolist() == [[[[0, last], [last * SIDE, (SIDE - 2) * SIDE + last]]]]


def test_max_pool2d_backward():
    window = [2, 2], [SIDE - 2] * 2, [0, 0], [1, 1]
    offsets = torch.full((1, 1, 2, 2), 3, dtype=torch.uint8)
    g = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.float16)
    dx = ops.max_pool2d_backward(g, offsets, [SIDE, SIDE], *window)
    assert dx[0, 0, [1, 1, -1, -1], [1, -1, 1, -1]].tolist() == [1, 2, 3, 4]
    assert dx[0, 0, -2:].count_nonzero() == 2


@pytest.mark.parametrize("pool", ["avg_pool2d", "lp_pool2d"])
def test_sums_of_windows(plane, pool):
    arguments = ([2, 2], [SIDE - 2] * 2, [0, 0], False)
    corners = plane[..., [0, 1, -2, -1], :][..., [0, 1, -2, -1]].contiguous()
    if pool == "avg_pool2d":
        y = ops.avg_pool2d(plane, *arguments, True, None)
        expected = F.avg_pool2d(corners, 2)
    else:
        y = ops.lp_pool2d(plane, 2.0, *arguments)
        expected = F.lp_pool2d(corners, 2, 2)
    torch.testing.assert_close(y, expected)


def test_conv2d_forward(plane):
    w = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.bfloat16)
    step = [SIDE - 2] * 2
    corners = plane[..., [0, 1, -2, -1], :][..., [0, 1, -2, -1]].contiguous()
    y = ops.conv2d(plane, w, None, step, [0, 0, 0, 0], [1, 1], 1)
    torch.testing.assert_close(y, F.conv2d(corners, w, stride=2))


def test_conv2d_weight_grad(plane):
    g = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.bfloat16)
    step = [SIDE - 2] * 2
    corners = plane[..., [0, 1, -2, -1], :][..., [0, 1, -2, -1]]
    dw = ops.conv2d_weight_grad(g, plane, [1, 1, 2, 2], step, [0, 0, 0, 0], [1, 1], 1)
    expected = torch.nn.grad.conv2d_weight(corners.float(), (1, 1, 2, 2), g.float(), 2)
    torch.testing.assert_close(dw, expected.bfloat16())


def test_conv2d_input_grad():
    g = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.float16)
    w = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.float16)
    step = [SIDE - 2] * 2
    dx = ops.conv2d_input_grad(g, w, [1, 1, SIDE, SIDE], step, [0, 0, 0, 0], [1, 1], 1)
    corners = dx[..., [0, 1, -2, -1], :][..., [0, 1, -2, -1]]
    expected = torch.nn.grad.conv2d_input((1, 1, 4, 4), w.float(), g.float(), 2)
    torch.testing.assert_close(corners, expected.half())
    assert dx[0, 0, 2:1000].count_nonzero() == dx[0, 0, -1000:-2].count_nonzero() == 0


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_expanded_batch_of_large_maps(memory_format):
    """Image by image below 2^31 elements, the batch above it; nothing is copied."""
    image = torch.arange(3 * 64 * 64).remainder(251).view(1, 3, 64, 64).to(torch.bfloat16)
    x = image.contiguous(memory_format=memory_format).expand(175_000, -1, -1, -1)
    assert x.numel() > 2**31
    y = ops.max_pool2d(x, [1, 1], [63, 63], [0, 0], [1, 1], False)
    assert torch.equal(y, image[..., ::63, ::63].expand_as(y))
    y = ops.avg_pool2d(x, [1, 1], [63, 63], [0, 0], False, True, None)
    assert torch.equal(y, image[..., ::63, ::63].expand_as(y))
    w = torch.eye(3, dtype=torch.bfloat16)[:, :, None, None]
    y = ops.conv2d(x, w, None, [63, 63], [0, 0, 0, 0], [1, 1], 1)
    assert torch.equal(y, image[..., ::63, ::63].expand_as(y))


def test_output_of_a_transposed_convolution():
    x = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.float16)
    w = torch.ones(1, 1, 1, 1, dtype=torch.float16)
    y = ops.conv_transpose2d(x, w, None, [SIDE - 1] * 2, [0, 0, 0, 0], [1, 1], 1)
    assert y.numel() > 2**31
    assert y[..., :: SIDE - 1, :: SIDE - 1].tolist() == x.tolist()
    assert y[0, 0, -1000:].count_nonzero() == 2


def test_sizes_of_fake_outputs():
    x = torch.empty(2**20, 2**10, 2**10, 2**10, device="meta")
    y = ops.avg_pool2d(x, [2, 2], [2, 2], [0, 0], False, True, None)
    assert y.shape == (2**20, 2**10, 2**9, 2**9)
