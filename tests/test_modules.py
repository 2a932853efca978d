"""The modules are torch.nn's: arguments, initialisation, state_dict, repr, results."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

import cnnops

CASES = {
    "conv": ("Conv2d", (4, 6, 3), {}),
    "conv_all": (
        "Conv2d",
        (4, 6, (3, 2)),
        {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2, "bias": False},
    ),
    "conv_same": ("Conv2d", (4, 6, (4, 3)), {"padding": "same", "dilation": (1, 2)}),
    "conv_valid": ("Conv2d", (4, 6, 3), {"padding": "valid", "stride": 2}),
    "conv_reflect": ("Conv2d", (4, 6, 3), {"padding": (2, 1), "padding_mode": "reflect"}),
    "conv_replicate": ("Conv2d", (4, 6, 3), {"padding": 1, "padding_mode": "replicate"}),
    "conv_circular": ("Conv2d", (4, 6, 4), {"padding": "same", "padding_mode": "circular"}),
    "conv_double": ("Conv2d", (4, 6, 3), {"dtype": torch.float64}),
    "transpose": ("ConvTranspose2d", (4, 6, 3), {}),
    "transpose_all": (
        "ConvTranspose2d",
        (4, 6, (3, 2)),
        {
            "stride": (2, 3),
            "padding": (1, 0),
            "output_padding": (1, 2),
            "groups": 2,
            "bias": False,
            "dilation": (1, 2),
        },
    ),
    "max": ("MaxPool2d", (2,), {}),
    "max_all": ("MaxPool2d", ((3, 2), (2, 1), (1, 1), (1, 2)), {"ceil_mode": True}),
    "avg": ("AvgPool2d", (2,), {}),
    "avg_all": ("AvgPool2d", ((3, 2), (2, 1), (1, 1), True, False), {}),
    "avg_divisor": ("AvgPool2d", (3,), {"divisor_override": 5}),
    "lp": ("LPPool2d", (2, 3), {"stride": 2, "ceil_mode": True}),
    "lp_sum": ("LPPool2d", (1, (2, 3)), {}),
}


@pytest.fixture(params=CASES)
def twins(request):
    """The same module of cnnops and of torch.nn, initialised with the same seed."""
    name, args, kwargs = CASES[request.param]
    torch.manual_seed(1)
    ours = getattr(cnnops, name)(*args, **kwargs)
    torch.manual_seed(1)
    return ours, getattr(nn, name)(*args, **kwargs)


def input_of(module, *shape, device="cpu"):
    parameter = next(module.parameters(), torch.empty(0))
    return torch.randn(shape, dtype=parameter.dtype, device=device)


def assert_same_state(ours, theirs):
    ours, theirs = ours.state_dict(), theirs.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_is_the_torch_module(twins):
    ours, theirs = twins
    assert isinstance(ours, type(theirs)) and type(ours) is not type(theirs)
    assert repr(ours) == repr(theirs)
    assert vars(ours).keys() == vars(theirs).keys()
    assert_same_state(ours, theirs)


@pytest.mark.parametrize("shape", [(2, 4, 9, 8), (4, 9, 8), (0, 4, 9, 8)])
def test_result(twins, shape, device):
    ours, theirs = (module.to(device) for module in twins)
    input = input_of(theirs, *shape, device=device).requires_grad_()
    actual, expected = ours(input), theirs(input)
    torch.testing.assert_close(actual, expected)
    grad_output = torch.randn_like(expected)
    inputs = [input, *ours.parameters()], [input, *theirs.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad(actual, inputs[0], grad_output),
        torch.autograd.grad(expected, inputs[1], grad_output),
        atol=1e-4,
        rtol=1e-4,
    )


def test_state_dict_loads_both_ways(twins):
    ours, theirs = twins
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(1)
    theirs.load_state_dict(ours.state_dict())
    assert_same_state(ours, theirs)
    ours.load_state_dict(copy.deepcopy(theirs.state_dict()))
    assert_same_state(ours, theirs)


def saved_and_loaded(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), saved_and_loaded]
)
def test_duplicates(twins, duplicate):
    ours, _ = twins
    again = duplicate(ours)
    assert type(again) is type(ours) and repr(again) == repr(ours)
    assert_same_state(again, ours)
    input = input_of(ours, 1, 4, 9, 8)
    assert torch.equal(again(input), ours(input))


def test_every_torch_class_takes_the_same_arguments():
    for name in ("Conv2d", "ConvTranspose2d", "MaxPool2d", "AvgPool2d", "LPPool2d"):
        ours, theirs = getattr(cnnops, name).__init__, getattr(nn, name).__init__
        arguments = ours.__code__.co_varnames[: ours.__code__.co_argcount]
        assert arguments == theirs.__code__.co_varnames[: theirs.__code__.co_argcount]
        assert ours.__defaults__ == theirs.__defaults__


def test_max_pool_returns_indices(device):
    input = torch.randn(2, 3, 7, 6, device=device)
    for arguments in ({"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1}):
        ours = cnnops.MaxPool2d(return_indices=True, **arguments)(input)
        theirs = nn.MaxPool2d(return_indices=True, **arguments)(input)
        assert all(map(torch.equal, ours, theirs))


def test_transposed_output_size(device):
    theirs = nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, device=device)
    ours = cnnops.convert(copy.deepcopy(theirs))
    input = torch.randn(1, 3, 5, 5, device=device)
    for size in ([9, 10], [2, 2, 10, 9], None):
        torch.testing.assert_close(ours(input, size), theirs(input, size))
    with pytest.raises(ValueError, match="requested an output size"):
        ours(input, [20, 20])


def test_transposed_padding_mode():
    with pytest.raises(ValueError, match='Only "zeros" padding mode is supported'):
        cnnops.ConvTranspose2d(3, 2, 3, padding_mode="reflect")


class TestMorePadding:
    """The paddings torch.nn does not have."""

    def test_full(self, device):
        conv = cnnops.Conv2d(3, 2, (3, 2), padding="full", dilation=(1, 2), stride=(1, 2))
        conv.to(device)
        assert repr(conv) == (
            "Conv2d(3, 2, kernel_size=(3, 2), stride=(1, 2), padding=full, dilation=(1, 2))"
        )
        input = torch.randn(1, 3, 5, 6, device=device)
        expected = nn.functional.conv2d(input, conv.weight, conv.bias, (1, 2), (2, 2), (1, 2))
        torch.testing.assert_close(conv(input), expected)

    @pytest.mark.parametrize("size", [1, 2, 5, 6, 7])
    @pytest.mark.parametrize("stride", [1, 2, 3, 7])
    @pytest.mark.parametrize("kernel", [1, 2, 3])
    def test_same_with_stride(self, size, stride, kernel, device):
        conv = cnnops.Conv2d(2, 2, kernel, stride=stride, padding="same", dilation=2).to(device)
        input = torch.randn(1, 2, size, size, device=device)
        output = conv(input)
        samples = -(-size // stride)
        total = max((samples - 1) * stride + 2 * (kernel - 1) + 1 - size, 0)
        begin, end = total // 2, total - total // 2
        padded = nn.functional.pad(input, (begin, end, begin, end))
        expected = nn.functional.conv2d(padded, conv.weight, conv.bias, stride, 0, 2)
        assert output.shape[2:] == (samples, samples)
        torch.testing.assert_close(output, expected)

    @pytest.mark.parametrize("padding,pads", [("full", (2, 2, 2, 2)), ("same", (0, 1, 0, 1))])
    def test_with_a_padding_mode(self, padding, pads, device):
        conv = cnnops.Conv2d(2, 2, 3, stride=2, padding=padding, padding_mode="reflect").to(device)
        input = torch.randn(1, 2, 6, 6, device=device)
        padded = nn.functional.pad(input, pads, mode="reflect")
        expected = nn.functional.conv2d(padded, conv.weight, conv.bias, 2)
        torch.testing.assert_close(conv(input), expected)

    def test_initialisation_is_torchs(self):
        torch.manual_seed(1)
        ours = cnnops.Conv2d(2, 3, 3, stride=2, padding="same")
        torch.manual_seed(1)
        assert_same_state(ours, nn.Conv2d(2, 3, 3, stride=2))

    def test_survives_pickling(self):
        conv = cnnops.Conv2d(2, 3, 3, stride=2, padding="same")
        input = torch.randn(1, 2, 7, 7)
        assert torch.equal(pickle.loads(pickle.dumps(conv))(input), conv(input))

    def test_unknown_name(self):
        names = "an int, a tuple of two ints, 'valid', 'same' or 'full'"
        with pytest.raises(ValueError, match=f"Conv2d: padding must be {names}, got 'half'"):
            cnnops.Conv2d(2, 3, 3, padding="half")


def test_infinite_norms_are_the_extremes(device):
    input = torch.randn(2, 3, 7, 6, device=device)
    for norm_type, extreme in ((torch.inf, torch.amax), (-torch.inf, torch.amin)):
        pooled = cnnops.LPPool2d(norm_type, 2)(input)
        windows = input.abs().unfold(2, 2, 2).unfold(3, 2, 2)
        assert torch.equal(pooled, extreme(windows, (-2, -1)))


class TestL2Pool2d:
    @pytest.mark.parametrize(
        "kernel_size,stride,padding,ceil_mode",
        [(2, None, 0, False), ((3, 2), 2, 1, False), (4, (3, 2), (1, 2), True)],
    )
    def test_result(self, kernel_size, stride, padding, ceil_mode, device):
        input = torch.randn(2, 3, 7, 8, device=device)
        pool = cnnops.L2Pool2d(kernel_size, stride, padding, ceil_mode)
        average = nn.AvgPool2d(kernel_size, stride, padding, ceil_mode)
        height, width = kernel_size if isinstance(kernel_size, tuple) else (kernel_size,) * 2
        expected = (height * width * average(input.square())).sqrt()
        torch.testing.assert_close(pool(input), expected)
        torch.testing.assert_close(pool(input[0]), expected[0])

    def test_repr(self):
        assert repr(cnnops.L2Pool2d(3, 2, 1)) == (
            "L2Pool2d(kernel_size=3, stride=2, padding=1, ceil_mode=False)"
        )
        assert not cnnops.L2Pool2d(3).state_dict()
