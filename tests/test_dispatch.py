"""Which operators a call runs: no more than its gradients ask for, under every autograd mode."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import cnnops.functional as F
from cnnops.autograd import (
    AvgPool2dFunction,
    Conv2dFunction,
    ConvTranspose2dFunction,
    LPPool2dFunction,
    MaxPool2dFunction,
)

CONV = ((1, 1), (1, 1, 1, 1), (1, 1), 1)
WINDOW = ((2, 2), (2, 2), (0, 0))


class Operators(TorchDispatchMode):
    """The names of cnnops' operators, in the order of their calls."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "cnnops":
            self.names.append(func._opname)
        return func(*args, **(kwargs or {}))


def operators(function):
    with Operators() as called:
        function()
    return called.names


def operands(device, *requires_grad):
    shapes = (2, 3, 6, 6), (4, 3, 3, 3), (4,)
    return [
        torch.randn(shape, dtype=torch.float64, device=device, requires_grad=required)
        for shape, required in zip(shapes, requires_grad, strict=True)
    ]


@pytest.mark.parametrize("call", [F.conv2d, lambda *args: torch.ops.cnnops.conv2d(*args, *CONV)])
@pytest.mark.parametrize("which", range(1, 8))
def test_convolution_computes_the_gradients_asked_for(call, which, device):
    wanted = [bool(which & 1), bool(which & 2), bool(which & 4)]
    output = call(*operands(device, *wanted))
    names = ["conv2d_input_grad", "conv2d_weight_grad", "conv2d_bias_grad"]
    expected = [name for name, needed in zip(names, wanted, strict=True) if needed]
    assert operators(lambda: output.sum().backward()) == expected


@pytest.mark.parametrize("which", range(1, 4))
def test_convolution_saves_what_the_gradients_read(which, device):
    wanted = [bool(which & 1), bool(which & 2)]
    input, weight, bias = operands(device, *wanted, True)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda x: saved.append(x.shape) or x, lambda x: x
    ):
        F.conv2d(input, weight, bias)
    kept = [x.shape for x, other in ((input, wanted[1]), (weight, wanted[0])) if other]
    assert saved == kept


def test_max_pooling_stores_offsets_for_a_gradient_only(device):
    input = torch.randn(1, 2, 6, 6, device=device)
    assert operators(lambda: F.max_pool2d(input, 2)) == ["max_pool2d"]
    input.requires_grad_()
    with torch.no_grad():
        assert operators(lambda: F.max_pool2d(input, 2)) == ["max_pool2d"]
    assert operators(lambda: F.max_pool2d(input, 2)) == ["max_pool2d_with_offsets"]
    with torch.no_grad():
        indices = operators(lambda: F.max_pool2d(input, 2, return_indices=True))
    assert indices == ["max_pool2d_with_offsets", "max_pool2d_indices"]
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda x: saved.append(x.dtype) or x, lambda x: x
    ):
        F.max_pool2d(input, 2)
    assert saved == [torch.uint8]


def test_indices_have_no_gradient(device):
    input = torch.randn(1, 2, 6, 6, device=device, requires_grad=True)
    output, indices = F.max_pool2d(input, 2, return_indices=True)
    assert output.requires_grad and not indices.requires_grad


@pytest.mark.parametrize(
    "function,name,operator",
    [
        (lambda x, w, b: F.conv2d(x, w, b, 1, 1), Conv2dFunction, "conv2d"),
        (
            lambda x, w, b: F.conv_transpose2d(x, w.transpose(0, 1), b, 1, 1),
            ConvTranspose2dFunction,
            "conv_transpose2d",
        ),
        (lambda x, w, b: F.max_pool2d(x, 2), MaxPool2dFunction, "max_pool2d_with_offsets"),
        (lambda x, w, b: F.avg_pool2d(x, 2), AvgPool2dFunction, "avg_pool2d"),
        (lambda x, w, b: F.lp_pool2d(x, 2, 2), LPPool2dFunction, "lp_pool2d"),
    ],
)
def test_the_functions_run_the_operators(function, name, operator, device):
    output = function(*operands(device, True, False, False))
    assert name.__name__ in output.grad_fn.name()
    assert operators(lambda: function(*operands(device, True, False, False))) == [operator]


def test_the_public_functions(device):
    input, weight, bias = operands(device, True, True, True)
    swapped = weight.transpose(0, 1)
    pooled, offsets = MaxPool2dFunction.apply(input, *WINDOW, (1, 1), False)
    assert not offsets.requires_grad and torch.equal(pooled, F.max_pool2d(input, 2))
    pairs = [
        (Conv2dFunction.apply(input, weight, bias, *CONV), F.conv2d(input, weight, bias, 1, 1)),
        (
            ConvTranspose2dFunction.apply(input, swapped, bias, *CONV),
            F.conv_transpose2d(input, swapped, bias, 1, 1),
        ),
        (pooled, F.max_pool2d(input, 2)),
        (AvgPool2dFunction.apply(input, *WINDOW, False, True, None), F.avg_pool2d(input, 2)),
        (LPPool2dFunction.apply(input, 2.0, *WINDOW, False), F.lp_pool2d(input, 2, 2)),
    ]
    for actual, expected in pairs:
        assert actual.requires_grad and torch.equal(actual, expected)
        leaves = [leaf for leaf in (input, weight, bias) if leaf.requires_grad]
        gradients = [
            torch.autograd.grad(output, leaves, torch.ones_like(output), allow_unused=True)
            for output in (actual, expected)
        ]
        for one, other in zip(*gradients, strict=True):
            assert one is other is None or torch.equal(one, other)


def network(input, weight, bias):
    out = F.conv2d(input, weight, bias, padding="same")
    out = F.max_pool2d(out, 2, 1) + F.avg_pool2d(out, 2, 1) + F.l2_pool2d(out, 2, 1)
    return F.conv_transpose2d(out, weight, stride=2, padding=1)


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled(dynamic, device):
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for wanted in ((True, True, True), (False, True, False), (False, False, False)):
        inputs = operands(device, *wanted)
        actual, expected = compiled(*inputs), network(*inputs)
        torch.testing.assert_close(actual, expected)
        leaves = [x for x in inputs if x.requires_grad]
        if leaves:
            torch.testing.assert_close(
                torch.autograd.grad(actual.square().sum(), leaves),
                torch.autograd.grad(expected.square().sum(), leaves),
            )


def test_functional_transforms(device):
    input, weight, bias = operands(device, False, False, False)

    def loss(*args):
        return network(*args).square().sum()

    def gradient_norm(*args):
        return torch.func.grad(loss)(*args).square().sum()

    leaves = [x.clone().requires_grad_() for x in (input, weight, bias)]
    first = torch.autograd.grad(loss(*leaves), leaves, create_graph=True)
    second = torch.autograd.grad(first[0].square().sum(), leaves)
    actual = torch.func.grad(loss, argnums=(0, 1, 2))(input, weight, bias)
    torch.testing.assert_close(actual, tuple(x.detach() for x in first))
    actual = torch.func.grad(gradient_norm, argnums=(0, 1, 2))(input, weight, bias)
    torch.testing.assert_close(actual, second)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: F.conv2d(x, w),
        lambda x, w: F.conv_transpose2d(x, w.transpose(0, 1)),
        lambda x, w: F.max_pool2d(x, 2),
        lambda x, w: F.avg_pool2d(x, 2),
        lambda x, w: F.lp_pool2d(x, 2, 2),
    ],
)
def test_what_is_not_supported_says_so(function, device):
    input, weight, _ = operands(device, False, False, False)
    with pytest.raises(NotImplementedError, match="jvp function"):
        torch.func.jvp(lambda x: function(x, weight), (input,), (input,))
    with pytest.raises(RuntimeError, match="does not have vmap support"):
        torch.func.vmap(lambda x: function(x, weight))(input[None])


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w, b: F.conv2d(x, w[:3, :1], b[:3], 2, (2, 1), (1, 2), 3),
        lambda x, w, b: F.conv_transpose2d(x, w[:3, :2], None, 3, 1, (0, 2), 3, 2),
        lambda x, w, b: F.max_pool2d(x, 3, 2, 1, 2, True, True)[1],
        lambda x, w, b: F.avg_pool2d(x, 3, 2, 1, True, False, 5),
        lambda x, w, b: F.lp_pool2d(x, 2, 3, 2, True),
        lambda x, w, b: F.l2_pool2d(x, 3, 2, 1, True),
    ],
)
def test_tensor_subclasses(function, device):
    class Tagged(torch.Tensor):
        pass

    input, weight, bias = operands(device, False, False, False)
    expected = function(input, weight, bias)
    actual = function(input.as_subclass(Tagged), weight, bias)
    assert type(actual) is Tagged
    assert torch.equal(actual.as_subclass(torch.Tensor), expected)


def test_third_derivative_of_an_empty_window_is_zero(device):
    input = torch.zeros(1, 1, 4, 4, dtype=torch.float64, device=device, requires_grad=True)
    value = F.l2_pool2d(input, 2).sum()
    for _ in range(3):
        (gradient,) = torch.autograd.grad(value, input, create_graph=True)
        assert torch.equal(gradient, torch.zeros_like(gradient))
        value = gradient.sum()
