"""Bad arguments of the operators: one error names the argument, what was expected, what came."""

import re

import pytest
import torch

import cnnops
from cases import ConvCase
from checks import algorithms

ops = torch.ops.cnnops
HUGE = 2**31 - 1
VAST = 2**62


def tensor(*size, dtype=torch.float32):
    return torch.ones(size, dtype=dtype)


def on(device, arguments):
    """The arguments with their tensors on a device; those on meta stay there."""
    return {
        key: value.to(device) if torch.is_tensor(value) and not value.is_meta else value
        for key, value in arguments.items()
    }


def conv_options():
    return {"stride": [1, 1], "padding": [0, 0, 0, 0], "dilation": [1, 1], "groups": 2}


def window(**more):
    return {"kernel_size": [3, 3], "stride": [2, 2], "padding": [1, 1]} | more


# A good call of each operator, from which the tests change one argument.
GOOD = {
    "conv2d": lambda: {
        "input": tensor(2, 4, 6, 6),
        "weight": tensor(6, 2, 3, 3),
        "bias": tensor(6),
        **conv_options(),
    },
    "conv2d_input_grad": lambda: {
        "grad_output": tensor(2, 6, 4, 4),
        "weight": tensor(6, 2, 3, 3),
        "input_size": [2, 4, 6, 6],
        **conv_options(),
    },
    "conv2d_weight_grad": lambda: {
        "grad_output": tensor(2, 6, 4, 4),
        "input": tensor(2, 4, 6, 6),
        "weight_size": [6, 2, 3, 3],
        **conv_options(),
    },
    "conv2d_bias_grad": lambda: {"grad_output": tensor(2, 6, 4, 4)},
    "conv_transpose2d": lambda: {
        "input": tensor(2, 6, 4, 4),
        "weight": tensor(6, 2, 3, 3),
        "bias": tensor(4),
        **conv_options(),
    },
    "max_pool2d": lambda: {
        "input": tensor(2, 4, 6, 6),
        **window(dilation=[1, 1], ceil_mode=False),
    },
    "max_pool2d_with_offsets": lambda: {
        "input": tensor(2, 4, 6, 6),
        **window(dilation=[1, 1], ceil_mode=False),
    },
    "max_pool2d_backward": lambda: {
        "grad_output": tensor(2, 4, 3, 3),
        "offsets": tensor(2, 4, 3, 3, dtype=torch.uint8),
        "input_size": [6, 6],
        **window(dilation=[1, 1]),
    },
    "max_pool2d_select": lambda: {
        "input": tensor(2, 4, 6, 6),
        "offsets": tensor(2, 4, 3, 3, dtype=torch.uint8),
        **window(dilation=[1, 1]),
    },
    "max_pool2d_indices": lambda: {
        "offsets": tensor(2, 4, 3, 3, dtype=torch.uint8),
        "input_size": [6, 6],
        **window(dilation=[1, 1]),
    },
    "avg_pool2d": lambda: {
        "input": tensor(2, 4, 6, 6),
        **window(ceil_mode=False, count_include_pad=True, divisor_override=None),
    },
    "avg_pool2d_backward": lambda: {
        "grad_output": tensor(2, 4, 3, 3),
        "input_size": [6, 6],
        **window(ceil_mode=False, count_include_pad=True, divisor_override=None),
    },
    "lp_pool2d": lambda: {
        "input": tensor(2, 4, 6, 6),
        "norm_type": 2.0,
        **window(ceil_mode=False),
    },
    "lp_pool2d_backward": lambda: {
        "input": tensor(2, 4, 6, 6),
        "grad_output": tensor(2, 4, 3, 3),
        "output": tensor(2, 4, 3, 3),
        "norm_type": 2.0,
        **window(ceil_mode=False),
    },
}
CONVOLUTIONS = ["conv2d", "conv2d_input_grad", "conv2d_weight_grad", "conv_transpose2d"]
POOLINGS = [name for name in GOOD if "pool" in name]
DILATED = [name for name in POOLINGS if name.startswith("max")]
TENSORS = {
    name: [key for key, value in good().items() if isinstance(value, torch.Tensor)]
    for name, good in GOOD.items()
}
EVERY_TENSOR = [(name, key) for name, keys in TENSORS.items() for key in keys]
EVERY_MAP = [(name, key) for name, key in EVERY_TENSOR if key != "bias"]
EVERY_VALUE = [(name, key) for name, key in EVERY_TENSOR if key != "offsets"]
SECOND_VALUES = [(name, key) for name, key in EVERY_VALUE if key != TENSORS[name][0]]


@pytest.fixture
def call(device):
    """Calls an operator with some arguments changed, all tensors on the device."""
    return lambda name, changes=(): getattr(ops, name)(**on(device, GOOD[name]() | dict(changes)))


@pytest.fixture
def fails(call):
    """The call with these changes raises an error on argument that shows each of got."""

    def check(name, changes, argument, *got):
        with pytest.raises(RuntimeError) as raised:
            call(name, changes)
        message = str(raised.value).splitlines()[0]
        assert re.match(rf"{name}: ({argument}) (must|expected) .+, got .+", message), message
        for text in got:
            assert text in message.split(", got ")[-1], message

    return check


@pytest.mark.parametrize("name", GOOD)
def test_good_calls(name, call):
    call(name)


@pytest.mark.parametrize("name, argument", EVERY_MAP)
@pytest.mark.parametrize("size", [(2, 4, 6), (1, 2, 4, 6, 6), ()])
def test_wrong_rank(name, argument, size, fails):
    dtype = GOOD[name]()[argument].dtype
    fails(name, {argument: tensor(*size, dtype=dtype)}, argument, ", ".join(map(str, size)))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.bool, torch.complex64])
@pytest.mark.parametrize("name", [name for name, key in EVERY_VALUE if key == TENSORS[name][0]])
def test_unsupported_dtype(name, dtype, fails):
    values = [key for key in TENSORS[name] if key != "offsets"]
    changes = {key: GOOD[name]()[key].to(dtype) for key in values}
    fails(name, changes, values[0], str(dtype).removeprefix("torch."))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.bool, torch.float32])
@pytest.mark.parametrize("name", [name for name, key in EVERY_TENSOR if key == "offsets"])
def test_dtype_of_offsets(name, dtype, fails):
    offsets = GOOD[name]()["offsets"].to(dtype)
    fails(name, {"offsets": offsets}, "offsets", str(dtype).removeprefix("torch."))


@pytest.mark.parametrize("name, argument", SECOND_VALUES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_mixed_dtype(name, argument, dtype, fails):
    changes = {argument: GOOD[name]()[argument].to(dtype)}
    fails(name, changes, argument, str(dtype).removeprefix("torch."))


@pytest.mark.parametrize("name, argument", [(n, k) for n, k in EVERY_TENSOR if k != TENSORS[n][0]])
def test_mixed_device(name, argument, fails):
    fails(name, {argument: GOOD[name]()[argument].to("meta")}, argument, "meta")


@pytest.mark.parametrize("name", CONVOLUTIONS + POOLINGS)
@pytest.mark.parametrize("stride", [[0, 1], [1, 0], [-1, 1], [1, -VAST]])
def test_stride(name, stride, fails):
    fails(name, {"stride": stride}, "stride", ", ".join(map(str, stride)))


@pytest.mark.parametrize("name", CONVOLUTIONS + DILATED)
@pytest.mark.parametrize("dilation", [[0, 1], [1, 0], [-1, 1], [-VAST, 1]])
def test_dilation(name, dilation, fails):
    fails(name, {"dilation": dilation}, "dilation", ", ".join(map(str, dilation)))


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("groups", [0, -1, -VAST])
def test_groups(name, groups, fails):
    fails(name, {"groups": groups}, "groups", str(groups))


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("groups", [4, 5, HUGE, VAST])
def test_groups_that_do_not_divide(name, groups, fails):
    fails(name, {"groups": groups}, "groups|input|input_size|weight|weight_size")


@pytest.mark.parametrize(
    "name, changes, argument, got",
    [
        ("conv2d", {"input": tensor(2, 5, 6, 6)}, "input", "5"),
        ("conv2d", {"weight": tensor(6, 3, 3, 3)}, "input", "4"),
        ("conv2d_input_grad", {"grad_output": tensor(2, 5, 4, 4)}, "grad_output", "5"),
        ("conv2d_input_grad", {"input_size": [2, 5, 6, 6]}, "input_size", "5"),
        ("conv2d_weight_grad", {"grad_output": tensor(2, 5, 4, 4)}, "grad_output", "5"),
        ("conv2d_weight_grad", {"input": tensor(2, 5, 6, 6)}, "input", "5"),
        ("conv_transpose2d", {"input": tensor(2, 5, 4, 4)}, "input", "5"),
        ("max_pool2d_backward", {"offsets": tensor(2, 5, 3, 3).byte()}, "offsets", "5"),
        ("lp_pool2d_backward", {"grad_output": tensor(2, 5, 3, 3)}, "grad_output", "5"),
        ("lp_pool2d_backward", {"output": tensor(2, 5, 3, 3)}, "output", "5"),
    ],
)
def test_channels(name, changes, argument, got, fails):
    fails(name, changes, argument, got)


@pytest.mark.parametrize("name, count", [("conv2d", 6), ("conv_transpose2d", 4)])
def test_bias(name, count, fails):
    fails(name, {"bias": tensor(count + 1)}, "bias", str(count + 1))
    fails(name, {"bias": tensor(1)}, "bias", "1")
    fails(name, {"bias": tensor(count, 1)}, "bias", f"{count}, 1")
    fails(name, {"bias": tensor()}, "bias")


@pytest.mark.parametrize("size", [(6, 2, 0, 3), (6, 2, 3, 0)])
def test_empty_kernel(size, fails):
    shown = ", ".join(map(str, size[2:]))
    for name in ("conv2d", "conv2d_input_grad", "conv_transpose2d"):
        fails(name, {"weight": tensor(*size)}, "kernel size", shown)
    fails("conv2d_weight_grad", {"weight_size": list(size)}, "kernel size", shown)


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("kernel_size", [[0, 3], [3, 0], [-2, 3]])
def test_empty_window(name, kernel_size, fails):
    changes = {"kernel_size": kernel_size, "padding": [0, 0]}
    fails(name, changes, "kernel_size", ", ".join(map(str, kernel_size)))


def test_kernel_over_the_padded_input(fails):
    fails("conv2d", {"input": tensor(2, 4, 6, 2)}, "input", "2 + 0 + 0")
    fails("conv2d", {"dilation": [4, 1]}, "input", "6 + 0 + 0")
    fails("conv2d", {"padding": [0, 0, -2, -2]}, "input", "6 + -2 + -2")
    for name in ("max_pool2d", "avg_pool2d", "lp_pool2d"):
        fails(name, {"kernel_size": [3, 9], "padding": [0, 1]}, "input", "6 x 6")


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("padding", [[2, 0], [0, 2], [-1, 0], [0, -VAST]])
def test_padding_of_a_pooling(name, padding, fails):
    fails(name, {"padding": padding}, "padding", str(next(p for p in padding if p)))


@pytest.mark.parametrize("name", DILATED)
def test_padding_over_half_a_dilated_window(name, fails):
    """The window reaches over five samples."""
    fails(name, {"padding": [3, 0], "dilation": [2, 2]}, "padding", "3")


@pytest.mark.parametrize("value", [HUGE, 2**32, VAST, 2**63 - 1])
def test_near_the_end_of_the_integers(value, call):
    conv = ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")
    for name in conv:
        with pytest.raises(RuntimeError, match=rf"^{name}: .+ (must|expected) .+, got .+"):
            call(name, {"dilation": [value, 1]})
    for name in POOLINGS:
        with pytest.raises(RuntimeError, match=rf"^{name}: .+ (must|expected) .+, got .+"):
            call(name, {"kernel_size": [3, value]})
    for name in DILATED:
        with pytest.raises(RuntimeError, match=rf"^{name}: .+ (must|expected) .+, got .+"):
            call(name, {"dilation": [1, value]})
    for name in POOLINGS:
        with pytest.raises(RuntimeError, match=rf"^{name}: .+ (must|expected) .+, got .+"):
            call(name, {"padding": [value, 1]})


@pytest.mark.parametrize("on_meta", [False, True])
@pytest.mark.parametrize(
    "name, changes",
    [
        ("conv2d", {"padding": [2**32, 2**32, 2**32, 2**32]}),
        ("conv2d", {"padding": [VAST, VAST, 0, 0]}),
        ("conv2d", {"padding": [VAST, 0, 0, 0]}),
        ("conv_transpose2d", {"stride": [2**40, 2**40]}),
        ("conv_transpose2d", {"stride": [VAST, 1]}),
        ("conv_transpose2d", {"dilation": [VAST, 1]}),
        ("conv_transpose2d", {"dilation": [1, 2**63 - 1]}),
        ("conv_transpose2d", {"padding": [-VAST, -VAST, 0, 0]}),
        ("conv2d_input_grad", {"input_size": [2, 4, 2**40, 2**40]}),
        ("conv2d_weight_grad", {"weight_size": [6, 2, 2**40, 2**40]}),
        ("max_pool2d_backward", {"input_size": [2**40, 2**40]}),
        ("avg_pool2d_backward", {"input_size": [2**40, 2**40]}),
    ],
)
def test_sizes_whose_product_overflows(name, changes, on_meta, device):
    arguments = on("meta" if on_meta else device, GOOD[name]() | changes)
    with pytest.raises(RuntimeError, match=rf"^{name}: .+ (must|expected) .+, got .+"):
        getattr(ops, name)(**arguments)


def test_conv_transpose2d_without_output(fails):
    fails("conv_transpose2d", {"padding": [3, 3, 0, 0]}, "input", "4 x 4", "0 x 6")


@pytest.mark.parametrize(
    "name, changes, argument",
    [
        ("conv2d_input_grad", {"grad_output": tensor(2, 6, 4, 5)}, "grad_output"),
        ("conv2d_input_grad", {"grad_output": tensor(1, 6, 4, 4)}, "grad_output"),
        ("conv2d_input_grad", {"input_size": [2, 4, 7, 6]}, "grad_output"),
        ("conv2d_input_grad", {"input_size": [2, 4, -6, 6]}, "input_size"),
        ("conv2d_weight_grad", {"grad_output": tensor(2, 6, 5, 4)}, "grad_output"),
        ("conv2d_weight_grad", {"grad_output": tensor(3, 6, 4, 4)}, "grad_output"),
        ("conv2d_weight_grad", {"weight_size": [6, 2, 2, 3]}, "grad_output"),
        ("conv2d_weight_grad", {"weight_size": [6, 3, 3, 3]}, "input"),
        ("max_pool2d_backward", {"offsets": tensor(2, 4, 3, 2).byte()}, "offsets"),
        ("max_pool2d_backward", {"offsets": tensor(2, 4, 3, 3).int()}, "offsets"),
        ("max_pool2d_backward", {"offsets": tensor(2, 4, 3, 3)}, "offsets"),
        ("max_pool2d_backward", {"input_size": [60, 6]}, "offsets"),
        ("max_pool2d_select", {"offsets": tensor(2, 5, 3, 3).byte()}, "offsets"),
        ("max_pool2d_select", {"offsets": tensor(2, 4, 3, 3).int()}, "offsets"),
        ("max_pool2d_indices", {"offsets": tensor(2, 4, 3, 3).int()}, "offsets"),
        ("avg_pool2d_backward", {"grad_output": tensor(2, 4, 3, 4)}, "grad_output"),
        ("avg_pool2d_backward", {"input_size": [6, 60]}, "grad_output"),
        ("lp_pool2d_backward", {"grad_output": tensor(2, 4, 4, 3)}, "grad_output"),
        ("lp_pool2d_backward", {"output": tensor(2, 4, 4, 3)}, "output"),
        ("lp_pool2d_backward", {"input": tensor(2, 4, 9, 6)}, "grad_output"),
    ],
)
def test_sizes_that_do_not_fit_together(name, changes, argument, fails):
    fails(name, changes, argument)


@pytest.mark.parametrize("name", ["avg_pool2d", "avg_pool2d_backward"])
def test_divisor_0(name, fails):
    fails(name, {"divisor_override": 0}, "divisor_override", "0")


@pytest.mark.parametrize("name", ["lp_pool2d", "lp_pool2d_backward"])
@pytest.mark.parametrize("norm_type", [0.0, torch.nan, torch.inf])
def test_norm_type(name, norm_type, fails):
    fails(name, {"norm_type": norm_type}, "norm_type", f"{norm_type:g}")


def test_offset_outside_its_window(call):
    """An offset no kernel made must not write out of the map."""
    offsets = torch.full((2, 4, 3, 3), 255, dtype=torch.uint8)
    for name in ("max_pool2d_backward", "max_pool2d_select"):
        result = call(name, {"offsets": offsets})
        assert torch.equal(result, torch.zeros_like(result))


@pytest.mark.parametrize("name", GOOD)
def test_fake_tensors_fail_alike(name, call, fails):
    """The checks stand before the kernels, so meta tensors meet the same ones."""
    on_meta = {k: v.to("meta") for k, v in GOOD[name]().items() if torch.is_tensor(v)}
    call(name, on_meta)
    first = TENSORS[name][0]
    fails(name, on_meta | {first: on_meta[first][0]}, first)


def test_huge_strides_are_fine(call):
    stride = [HUGE, HUGE]
    assert call("conv2d", {"stride": stride}).shape == (2, 6, 1, 1)
    assert call("avg_pool2d", {"stride": stride}).shape == (2, 4, 1, 1)


@pytest.mark.parametrize("on_meta", [False, True])
def test_transposed_map_that_overflows(on_meta, device):
    """(H - 1) * stride wraps around to -4 in 64 bits, to which the kernel adds 9."""
    stride = 2**31 - 1
    height = (2**64 - 4) // stride + 1
    one = tensor(1, 1, 1, 1).to("meta" if on_meta else device)
    with pytest.raises(RuntimeError, match=r"^conv_transpose2d: .+ (must|expected) .+, got .+"):
        ops.conv_transpose2d(
            one.expand(1, 1, height, 1),
            one.expand(1, 1, 9, 1),
            None,
            [stride, 1],
            [0, 0, 0, 0],
            [1, 1],
            1,
        )


def test_window_with_too_many_positions(device):
    """A position inside a window is an int32."""
    side = 2**16
    with pytest.raises(RuntimeError, match=r"^max_pool2d_with_offsets: kernel_size .+, got .+"):
        ops.max_pool2d_with_offsets(
            tensor(1, 1, 2, 2).to(device), [side, side], [1, 1], [side // 2] * 2, [1, 1], False
        )


def test_forced_algorithm_that_does_not_support_the_problem(call, device):
    case = ConvCase("", (2, 4, 6, 6), (6, 2, 3, 3), groups=2)
    supported = algorithms("forward", case, torch.float32, device)
    for algorithm in ops._conv2d_algorithms():
        if algorithm not in supported:
            with (
                cnnops.flags(algorithm=algorithm),
                pytest.raises(RuntimeError, match=algorithm),
            ):
                call("conv2d")
