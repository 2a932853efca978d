"""Reading and writing half types: every bit pattern, and rounding as torch rounds."""

import pytest
import torch

import cnnops  # noqa: F401  (loads the operators)
from cases import MEMORY_FORMATS

ops = torch.ops.cnnops
HALF_TYPES = [torch.bfloat16, torch.float16]


def every_value(dtype):
    """All 65536 values as a map of four images, each with 32 channels."""
    bits = torch.arange(-(2**15), 2**15).to(torch.int16)
    return bits.view(dtype).view(4, 32, 16, 32)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", HALF_TYPES)
def test_every_value_is_read_and_written(dtype, memory_format, device):
    x = every_value(dtype).to(device).contiguous(memory_format=memory_format)
    y = ops.max_pool2d(x, [1, 1], [1, 1], [0, 0], [1, 1], False)
    numbers = ~x.isnan()
    assert torch.equal(y.isnan(), x.isnan())
    assert torch.equal(y[numbers].view(torch.int16), x[numbers].view(torch.int16))


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", HALF_TYPES)
def test_results_are_rounded_to_nearest_even(dtype, memory_format, device):
    """The sum of two neighbours in float32, stored as half: subnormal, halfway, overflowing."""
    x = every_value(dtype)
    x = torch.stack([x, x.flatten()[torch.randperm(x.numel())].view(x.shape)], 4).flatten(3)
    expected = (x[..., ::2].float() + x[..., 1::2].float()).to(dtype)
    x = x.to(device).contiguous(memory_format=memory_format)
    y = ops.avg_pool2d(x, [1, 2], [1, 2], [0, 0], False, True, 1)
    torch.testing.assert_close(y.cpu(), expected, rtol=0, atol=0, equal_nan=True)
