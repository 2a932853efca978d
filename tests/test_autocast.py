"""Under autocast the dtypes are those of torch: convolutions are cast, pooling keeps its dtype."""

import pytest
import torch

import cnnops.functional as F

HALVES = [torch.bfloat16, torch.float16]
INPUT = torch.linspace(-1, 1, 4 * 64).view(1, 4, 8, 8)
WEIGHT = torch.linspace(-1, 1, 4 * 6 * 9).view(6, 4, 3, 3)
BIAS = torch.linspace(-1, 1, 6)

CALLS = {
    "conv2d": lambda f, x: f.conv2d(x, WEIGHT, BIAS),
    "conv_transpose2d": lambda f, x: f.conv_transpose2d(x, WEIGHT.transpose(0, 1), BIAS),
    "max_pool2d": lambda f, x: f.max_pool2d(x, 2),
    "avg_pool2d": lambda f, x: f.avg_pool2d(x, 2),
    "lp_pool2d": lambda f, x: f.lp_pool2d(x, 2, 2),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("autocast", HALVES)
@pytest.mark.parametrize("dtype", [torch.float32, *HALVES])
def test_like_torch(name, autocast, dtype):
    input = INPUT.to(dtype)
    with torch.autocast("cpu", dtype=autocast):
        actual = CALLS[name](F, input)
        expected = CALLS[name](torch.nn.functional, input)
    assert actual.dtype == expected.dtype
    torch.testing.assert_close(actual, expected, atol=0.05, rtol=0.02)


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_float64_is_not_cast(name):
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(RuntimeError):
        CALLS[name](F, INPUT.double())


def test_gradients_have_the_dtype_of_the_parameters():
    weight, bias = WEIGHT.clone().requires_grad_(), BIAS.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = F.conv2d(INPUT, weight, bias)
    assert output.dtype == torch.bfloat16
    output.float().square().sum().backward()
    assert weight.grad.dtype == bias.grad.dtype == torch.float32


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
@pytest.mark.parametrize("device,enabled", [("cpu", False), ("cuda", True)])
def test_switched_off_or_for_another_device(device, enabled):
    outer = torch.autocast("cpu", dtype=torch.bfloat16, enabled=device == "cpu")
    with outer, torch.autocast(device, dtype=torch.bfloat16, enabled=enabled):
        assert F.conv2d(INPUT, WEIGHT).dtype == torch.float32


def test_device_without_autocast():
    input, weight = INPUT.to("meta"), WEIGHT.to("meta")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual, expected = F.conv2d(input, weight), torch.nn.functional.conv2d(input, weight)
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)


def test_compiled():
    @torch.compile(backend="aot_eager", fullgraph=True)
    def compiled(input):
        return F.max_pool2d(F.conv2d(input, WEIGHT, BIAS), 2)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = F.max_pool2d(F.conv2d(INPUT, WEIGHT, BIAS), 2)
        assert torch.equal(compiled(INPUT), expected)
