"""The short way of usual calls (csrc/usual_calls.cpp): who takes it, and that both ways agree."""

import pytest
import torch
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

import cnnops.functional as F
from cnnops import _C

HUGE = 1 << 64


class Subclass(torch.Tensor):
    pass


class Number(int):
    pass


def images(**options):
    return torch.randn(2, 4, 6, 6, **options)


def conv2d(*, input=None, weight=None, **changed):
    given = dict(bias=torch.randn(4), stride=1, padding=(1, 1), dilation=1, groups=2) | changed
    input = images() if input is None else input
    weight = torch.randn(4, 2, 3, 3) if weight is None else weight
    return "conv2d", (input, weight, *given.values())


def max_pool2d(*, input=None, **changed):
    given = dict(kernel_size=3, stride=None, padding=(1, 0), dilation=1, ceil_mode=True) | changed
    return "max_pool2d", (images() if input is None else input, *given.values())


def avg_pool2d(*, input=None, **changed):
    given = dict(kernel_size=(2, 3), stride=2, padding=1, ceil_mode=False, count_include_pad=False)
    given |= dict(divisor_override=None) | changed
    return "avg_pool2d", (images() if input is None else input, *given.values())


EVERY = pytest.mark.parametrize("call", [conv2d, max_pool2d, avg_pool2d])
POOLS = pytest.mark.parametrize("call", [max_pool2d, avg_pool2d])


def short_way(call):
    name, arguments = call
    return getattr(_C, name)(*arguments)


def long_way(call, monkeypatch):
    name, arguments = call
    with monkeypatch.context() as patch:
        patch.setattr(_C, name, lambda *_: None)
        return getattr(F, name)(*arguments)


def result_of(call):
    name, arguments = call
    return getattr(F, name)(*arguments)


USUAL = [
    conv2d(),
    conv2d(stride=(2, 1), padding=2, dilation=(1, 2), bias=None),
    conv2d(weight=torch.nn.Parameter(torch.randn(4, 4, 1, 1)), padding=0, groups=1),
    conv2d(input=images().to(memory_format=torch.channels_last)),
    max_pool2d(),
    max_pool2d(kernel_size=(3, 2), stride=(2, 1), padding=0, dilation=(1, 2), ceil_mode=False),
    avg_pool2d(),
    avg_pool2d(kernel_size=2, stride=None, padding=0, ceil_mode=True, divisor_override=-3),
    avg_pool2d(count_include_pad=True, input=images(dtype=torch.float64)),
]


@pytest.mark.parametrize("call", USUAL)
@pytest.mark.parametrize("requires_grad", [False, True])
def test_both_ways_give_the_same_bits_and_gradients(call, requires_grad, monkeypatch):
    input = call[1][0].requires_grad_(requires_grad)
    short, long = short_way(call), long_way(call, monkeypatch)
    assert short.requires_grad == long.requires_grad
    assert torch.equal(short, long)
    assert short.stride() == long.stride()
    if requires_grad:
        grad = torch.randn_like(long)
        gradients = [torch.autograd.grad(output, input, grad)[0] for output in (short, long)]
        assert torch.equal(*gradients)


UNUSUAL = [
    conv2d(input=images()[0]),
    conv2d(input=images().as_subclass(Subclass)),
    conv2d(bias=torch.randn(4).as_subclass(Subclass)),
    conv2d(padding="same"),
    conv2d(padding=[1, 1]),
    conv2d(stride=(Number(1), 1)),
    conv2d(stride=(1,)),
    max_pool2d(input=images()[0]),
    max_pool2d(stride=()),
    max_pool2d(padding=torch.tensor(1)),
    avg_pool2d(input=images().as_subclass(Subclass)),
    avg_pool2d(kernel_size=torch.Size([2, 3])),
    avg_pool2d(divisor_override=torch.tensor(3)),
]


@pytest.mark.parametrize("call", UNUSUAL)
def test_what_is_not_usual_is_left_to_the_long_way(call, monkeypatch):
    assert short_way(call) is None
    assert torch.equal(result_of(call), long_way(call, monkeypatch))


WRONG = [
    conv2d(input=None, weight=[1.0]),
    conv2d(padding=-1),
    conv2d(padding=(0, -1)),
    conv2d(stride=0),
    conv2d(stride=HUGE),
    conv2d(groups=True),
    conv2d(groups=3),
    conv2d(dilation="1"),
    conv2d(dilation=(1, 1, 1)),
    conv2d(weight=torch.randn(4, 2, 3)),
    conv2d(bias=torch.randn(4, dtype=torch.float64)),
    max_pool2d(kernel_size=None),
    max_pool2d(kernel_size=-HUGE),
    max_pool2d(padding=2),
    max_pool2d(ceil_mode=1),
    max_pool2d(input=torch.randn(6, 6)),
    max_pool2d(input=images().int()),
    avg_pool2d(divisor_override=0),
    avg_pool2d(divisor_override=HUGE),
    avg_pool2d(count_include_pad=None),
    avg_pool2d(input=images().to_sparse()),
    avg_pool2d(input=images().to_mkldnn()),
]


@pytest.mark.parametrize("call", WRONG)
def test_errors_are_those_of_the_long_way(call, monkeypatch):
    with pytest.raises(Exception) as expected:
        long_way(call, monkeypatch)
    with pytest.raises(type(expected.value)) as raised:
        result_of(call)
    assert type(raised.value) is type(expected.value)
    assert str(raised.value) == str(expected.value)


@EVERY
def test_modes_and_transforms_see_the_call(call):
    class Mode(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            return function(*args, **(kwargs or {}))

    plain = call()

    def while_transformed(input):
        assert short_way(plain) is None
        return input.sum()

    with Mode():
        assert short_way(plain) is None
    with forward_ad.dual_level():
        assert short_way(plain) is None
    torch.func.grad(while_transformed)(images())
    torch.func.vmap(while_transformed)(images())
    assert short_way(plain) is not None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_sees_convolutions(dtype):
    with torch.autocast("cpu", dtype):
        assert short_way(conv2d()) is None
        assert result_of(conv2d()).dtype == dtype


@POOLS
def test_poolings_need_no_autocast(call):
    with torch.autocast("cpu", torch.bfloat16):
        assert short_way(call()).dtype == torch.float32
