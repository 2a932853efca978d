"""Every error of the functional layer: its class, and its text to the letter."""

import re

import pytest
import torch

import cnnops.functional as F
from cnnops._dispatch import has_kernels

DEVICES = "cpu or cuda" if has_kernels("cuda") else "cpu"
INPUT = torch.zeros(1, 4, 8, 8)
WEIGHT = torch.zeros(6, 4, 3, 3)
TRANSPOSED = torch.zeros(4, 6, 3, 3)
SIZE = "an int or a tuple of two ints"


def conv2d(**changes):
    return F.conv2d(**{"input": INPUT, "weight": WEIGHT, **changes})


def conv_transpose2d(**changes):
    return F.conv_transpose2d(**{"input": INPUT, "weight": TRANSPOSED, **changes})


def max_pool2d(**changes):
    return F.max_pool2d(**{"input": INPUT, "kernel_size": 2, **changes})


def avg_pool2d(**changes):
    return F.avg_pool2d(**{"input": INPUT, "kernel_size": 2, **changes})


def lp_pool2d(**changes):
    return F.lp_pool2d(**{"input": INPUT, "norm_type": 2, "kernel_size": 2, **changes})


def l2_pool2d(**changes):
    return F.l2_pool2d(**{"input": INPUT, "kernel_size": 2, **changes})


FUNCTIONS = [conv2d, conv_transpose2d, max_pool2d, avg_pool2d, lp_pool2d, l2_pool2d]
SIZES = {
    conv2d: ["stride", "dilation"],
    conv_transpose2d: ["stride", "padding", "output_padding", "dilation"],
    max_pool2d: ["kernel_size", "stride", "padding", "dilation"],
    avg_pool2d: ["kernel_size", "stride", "padding"],
    lp_pool2d: ["kernel_size", "stride"],
    l2_pool2d: ["kernel_size", "stride", "padding"],
}
SIZE_ARGUMENTS = [(function, argument) for function in FUNCTIONS for argument in SIZES[function]]
POOLS = FUNCTIONS[2:]


def fails(error, text):
    return pytest.raises(error, match=f"^{re.escape(text)}$")


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("value", [None, 1.5, [1, 2]])
def test_input_is_no_tensor(function, value):
    got = f"{value!r} of type {type(value).__name__}"
    with fails(TypeError, f"{function.__name__}: input must be a tensor, got {got}"):
        function(input=value)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("shape", [(8, 8), (1, 1, 4, 8, 8), ()])
def test_input_has_a_wrong_rank(function, shape):
    expected = "input must have the shape (N, C, H, W) or (C, H, W)"
    with fails(RuntimeError, f"{function.__name__}: {expected}, got {shape}"):
        function(input=torch.zeros(shape))


@pytest.mark.parametrize("function", [conv2d, conv_transpose2d])
def test_weight_or_bias_is_no_tensor(function):
    name = function.__name__
    with fails(TypeError, f"{name}: weight must be a tensor, got None of type NoneType"):
        function(weight=None)
    with fails(TypeError, f"{name}: bias must be a tensor, got 1.0 of type float"):
        function(bias=1.0)


@pytest.mark.parametrize("function,argument", SIZE_ARGUMENTS)
@pytest.mark.parametrize("value", ["a", 1.0, True, (1, 1.5), (1, None), {}])
def test_size_has_a_wrong_type(function, argument, value):
    entry = value[1] if isinstance(value, tuple) else value
    got = f"{entry!r} of type {type(entry).__name__}"
    with fails(TypeError, f"{function.__name__}: {argument} must be {SIZE}, got {got}"):
        function(**{argument: value})


@pytest.mark.parametrize("function,argument", SIZE_ARGUMENTS)
@pytest.mark.parametrize("value", [(1, 2, 3), [1, 1, 1, 1]])
def test_size_has_a_wrong_length(function, argument, value):
    with fails(RuntimeError, f"{function.__name__}: {argument} must be {SIZE}, got {value}"):
        function(**{argument: value})


@pytest.mark.parametrize("function,argument", SIZE_ARGUMENTS)
def test_size_is_empty(function, argument):
    if argument == "stride" and function in POOLS:
        assert function(stride=()).shape == function().shape
        return
    with fails(RuntimeError, f"{function.__name__}: {argument} must be {SIZE}, got ()"):
        function(**{argument: ()})


@pytest.mark.parametrize("function,argument", SIZE_ARGUMENTS)
def test_size_has_more_than_64_bits(function, argument):
    text = f"{function.__name__}: {argument} must fit 64 bits, got {2**63}"
    with fails(ValueError, text):
        function(**{argument: (1, 2**63)})


@pytest.mark.parametrize("function", [conv2d, conv_transpose2d])
def test_padding_is_negative(function):
    text = f"{function.__name__}: padding must be at least 0, got (0, -1)"
    with fails(RuntimeError, text):
        function(padding=(0, -1))


def test_padding_has_an_unknown_name():
    expected = "padding must be an int, a tuple of two ints, 'valid', 'same' or 'full'"
    with fails(RuntimeError, f"conv2d: {expected}, got 'half'"):
        conv2d(padding="half")


def test_conv2d_padding_has_a_wrong_type():
    with fails(TypeError, f"conv2d: padding must be {SIZE}, got None of type NoneType"):
        conv2d(padding=None)


def test_transposed_padding_has_no_names():
    with fails(TypeError, f"conv_transpose2d: padding must be {SIZE}, got 'same' of type str"):
        conv_transpose2d(padding="same")


@pytest.mark.parametrize("padding", ["same", "full"])
def test_named_padding_of_an_impossible_problem(padding):
    with fails(
        RuntimeError, "conv2d: weight must have the shape (K, C / groups, kH, kW), got (4, 3)"
    ):
        conv2d(weight=torch.zeros(4, 3), padding=padding)
    for argument in ("stride", "dilation"):
        for value in ((1, 0), (2**31, 1)):
            text = f"conv2d: {argument} must be between 1 and {2**31 - 1}, got {value}"
            with fails(RuntimeError, text):
                conv2d(padding=padding, **{argument: value})


@pytest.mark.parametrize("function", [conv2d, conv_transpose2d])
@pytest.mark.parametrize("value", [1.0, True, (1,), None, "1"])
def test_groups_is_no_int(function, value):
    got = f"{value!r} of type {type(value).__name__}"
    with fails(TypeError, f"{function.__name__}: groups must be an int, got {got}"):
        function(groups=value)


def test_output_padding_is_out_of_range():
    with fails(RuntimeError, "conv_transpose2d: output_padding must be at least 0, got (-1, -1)"):
        conv_transpose2d(output_padding=-1)
    with fails(
        RuntimeError,
        "conv_transpose2d: output_padding must be less than stride (2, 2) or dilation (1, 1), "
        "got (2, 2)",
    ):
        conv_transpose2d(stride=2, output_padding=2)


@pytest.mark.parametrize("function", POOLS)
@pytest.mark.parametrize("value", [1, None, "yes"])
def test_ceil_mode_is_no_bool(function, value):
    got = f"{value!r} of type {type(value).__name__}"
    with fails(TypeError, f"{function.__name__}: ceil_mode must be a bool, got {got}"):
        function(ceil_mode=value)


def test_count_include_pad_is_no_bool():
    with fails(TypeError, "avg_pool2d: count_include_pad must be a bool, got 1 of type int"):
        avg_pool2d(count_include_pad=1)


@pytest.mark.parametrize("value", [1.5, True, "2"])
def test_divisor_override_is_no_int(value):
    got = f"{value!r} of type {type(value).__name__}"
    with fails(TypeError, f"avg_pool2d: divisor_override must be None or an int, got {got}"):
        avg_pool2d(divisor_override=value)


@pytest.mark.parametrize("value", [0, 0.0, float("nan")])
def test_norm_type_is_out_of_range(value):
    with fails(ValueError, f"lp_pool2d: norm_type must be a number other than 0, got {value}"):
        lp_pool2d(norm_type=value)


@pytest.mark.parametrize("value", ["2", None])
def test_norm_type_is_no_number(value):
    got = f"{value!r} of type {type(value).__name__}"
    with fails(TypeError, f"lp_pool2d: norm_type must be a real number, got {got}"):
        lp_pool2d(norm_type=value)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_tensor_without_a_kernel(requires_grad):
    weight = WEIGHT.clone().requires_grad_(requires_grad)
    with fails(
        NotImplementedError,
        f"conv2d: there is no kernel for these tensors, they must be dense and on {DEVICES}, "
        "got input float32 sparse_coo on cpu, weight float32 dense on cpu",
    ):
        conv2d(input=INPUT.to_sparse(), weight=weight)


@pytest.mark.skipif(
    not torch.cuda.is_available() or has_kernels("cuda"), reason="no GPU without kernels for it"
)
def test_device_without_a_kernel():
    with fails(
        NotImplementedError,
        "max_pool2d: there is no kernel for these tensors, they must be dense and on cpu, "
        "got input float32 dense on cuda:0",
    ):
        max_pool2d(input=INPUT.cuda())


def test_ints_of_every_kind():
    numpy = pytest.importorskip("numpy")
    expected = conv2d(stride=(2, 1)).shape
    for stride in ([2, 1], torch.Size([2, 1]), (numpy.int64(2), 1), (torch.tensor(2), True + 0)):
        assert conv2d(stride=stride).shape == expected
    assert conv2d(stride=(2,)).shape == conv2d(stride=2).shape
    assert max_pool2d(kernel_size=[3], stride=None).shape == (1, 4, 2, 2)
