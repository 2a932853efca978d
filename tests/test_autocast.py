"""Under autocast the dtypes are those of torch: convolutions are cast, pooling keeps its dtype."""

from contextlib import ExitStack

import pytest
import torch

import cnnops.functional as F

HALVES = [torch.bfloat16, torch.float16]
INPUT = torch.linspace(-1, 1, 4 * 64).view(1, 4, 8, 8)
WEIGHT = torch.linspace(-1, 1, 4 * 6 * 9).view(6, 4, 3, 3)
BIAS = torch.linspace(-1, 1, 6)


def on(device):
    """Input, weight and bias."""
    return [tensor.to(device) for tensor in (INPUT, WEIGHT, BIAS)]


CALLS = {
    "conv2d": lambda f, x, w, b: f.conv2d(x, w, b),
    "conv_transpose2d": lambda f, x, w, b: f.conv_transpose2d(x, w.transpose(0, 1), b),
    "max_pool2d": lambda f, x, w, b: f.max_pool2d(x, 2),
    "avg_pool2d": lambda f, x, w, b: f.avg_pool2d(x, 2),
    "lp_pool2d": lambda f, x, w, b: f.lp_pool2d(x, 2, 2),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("autocast", HALVES)
@pytest.mark.parametrize("dtype", [torch.float32, *HALVES])
def test_like_torch(name, autocast, dtype, device):
    input, *parameters = on(device)
    input = input.to(dtype)
    with torch.autocast(device, dtype=autocast):
        actual = CALLS[name](F, input, *parameters)
        expected = CALLS[name](torch.nn.functional, input, *parameters)
    if name == "lp_pool2d":  # on CUDA torch makes float32 of it, for the power inside
        expected = expected.to(dtype)
    assert actual.dtype == expected.dtype
    torch.testing.assert_close(actual, expected, atol=0.05, rtol=0.02)


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_float64_is_not_cast(name, device):
    input, *parameters = on(device)
    with torch.autocast(device, dtype=torch.bfloat16), pytest.raises(RuntimeError):
        CALLS[name](F, input.double(), *parameters)


def test_gradients_have_the_dtype_of_the_parameters(device):
    input, weight, bias = on(device)
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    with torch.autocast(device, dtype=torch.bfloat16):
        output = F.conv2d(input, weight, bias)
    assert output.dtype == torch.bfloat16
    output.float().square().sum().backward()
    assert weight.grad.dtype == bias.grad.dtype == torch.float32


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
@pytest.mark.parametrize("for_another_device", [False, True])
def test_switched_off_or_for_another_device(for_another_device, device):
    """The inner context alone counts for its own device, and no other device's counts."""
    input, weight, _ = on(device)
    other = "cuda" if device == "cpu" else "cpu"
    if for_another_device:
        contexts = [torch.autocast(other, torch.bfloat16)]
    else:
        contexts = [torch.autocast(device, torch.bfloat16, enabled) for enabled in (True, False)]
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        assert F.conv2d(input, weight).dtype == torch.float32


def test_device_without_autocast(device):
    input, weight = INPUT.to("meta"), WEIGHT.to("meta")
    with torch.autocast(device, dtype=torch.bfloat16):
        actual, expected = F.conv2d(input, weight), torch.nn.functional.conv2d(input, weight)
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)


def test_compiled(device):
    input, weight, bias = on(device)

    @torch.compile(backend="aot_eager", fullgraph=True)
    def compiled(input):
        return F.max_pool2d(F.conv2d(input, weight, bias), 2)

    with torch.autocast(device, dtype=torch.bfloat16):
        expected = F.max_pool2d(F.conv2d(input, weight, bias), 2)
        assert torch.equal(compiled(input), expected)
