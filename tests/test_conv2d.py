"""conv2d, its input gradient and its weight gradient against the oracle, for every algorithm."""

from functools import lru_cache
from itertools import product

import pytest
import torch
import torch.nn.functional as F

import cnnops
import oracle
from cases import (
    CONV_CASES,
    DEPTHWISE_CASES,
    DTYPES,
    MEMORY_FORMATS,
    ConvCase,
    data,
    ids,
)
from checks import (
    CAPABILITIES,
    algorithms,
    assert_same_bits,
    assert_within,
    forced,
    layouts,
    planned,
)
from convolutions import READ, WHICH, call, exact, magnitude, operands

ops = torch.ops.cnnops
ALL_CASES = CONV_CASES + DEPTHWISE_CASES
ALL_IDS = ids(CONV_CASES) + [f"depthwise_{name}" for name in ids(DEPTHWISE_CASES)]
LAYOUT_CASES = [
    case
    for case in CONV_CASES
    if case.name in ("cifar_downsample", "pointwise", "depthwise", "grouped_odd", "fully_connected")
] + [
    case
    for case in DEPTHWISE_CASES
    if case.name in ("three_stride", "vector_wide_maps", "halved", "halved_crop")
]


@lru_cache
def expected(which, case, algorithm=""):
    """The exact result, and what the error of each of its elements is proportional to."""
    arrays = {name: tensor.numpy() for name, tensor in operands(case).items()}
    exact = call(oracle, which, case, **arrays)
    return torch.from_numpy(exact), magnitude(which, case, algorithm, **operands(case))


def assert_right(which, case, tensors, memory_format=torch.contiguous_format):
    """Every algorithm's result on these tensors is within its bound of the oracle's."""
    x = tensors["input"]
    names = algorithms(which, case, x.dtype, x.device, memory_format)
    assert names
    for name in names:
        with forced(name) as factor:
            actual = call(ops, which, case, **tensors)
        assert_within(actual, *expected(which, case, name), factor)


@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", ALL_CASES, ids=ALL_IDS)
def test_against_the_oracle(case, dtype, memory_format, which, device):
    tensors = {name: t.to(device, dtype) for name, t in operands(case).items()}
    for name in ("input", "weight", "grad_output"):
        tensors[name] = tensors[name].contiguous(memory_format=memory_format)
    assert_right(which, case, tensors, memory_format)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CONV_CASES, ids=ids(CONV_CASES))
def test_bias_gradient(case, dtype, device):
    grad_output = operands(case)["grad_output"]
    for memory_format in MEMORY_FORMATS:
        grad = grad_output.to(device, dtype).contiguous(memory_format=memory_format)
        exact = oracle.conv2d_bias_grad(grad_output.numpy())
        magnitude = oracle.conv2d_bias_grad(abs(grad_output.numpy()))
        assert_within(ops.conv2d_bias_grad(grad), exact, magnitude)


@pytest.mark.parametrize("case", CONV_CASES, ids=ids(CONV_CASES))
def test_without_bias(case, device):
    x, w, bias, _ = operands(case).values()
    for name in algorithms("forward", case, torch.float64, device):
        exact, scale = expected("forward", case, name)
        with forced(name) as factor:
            y = ops.conv2d(x.to(device), w.to(device), None, *case.options)
        assert_within(y, exact - bias[:, None, None], scale, factor)


@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", LAYOUT_CASES, ids=ids(LAYOUT_CASES))
def test_any_layout(case, dtype, which, device):
    tensors = {name: t.to(device, dtype) for name, t in operands(case).items()}
    first, second = READ[which]
    for (_, a), (_, b) in product(layouts(tensors[first]), layouts(tensors[second])):
        assert_right(which, case, tensors | {first: a, second: b})


@pytest.mark.parametrize("dim", range(4))
@pytest.mark.parametrize("operand", ["input", "weight", "grad_output"])
@pytest.mark.parametrize("case", LAYOUT_CASES, ids=ids(LAYOUT_CASES))
def test_expanded(case, operand, dim, device):
    tensors = {name: t.to(device, torch.float32) for name, t in operands(case).items()}
    narrow = tensors[operand].narrow(dim, 0, 1)
    expanded = tensors | {operand: narrow.expand_as(tensors[operand])}
    copied = tensors | {operand: expanded[operand].contiguous()}
    for which in WHICH:
        for name in algorithms(which, case, torch.float32, device):
            with forced(name):
                actual = call(ops, which, case, **expanded)
                torch.testing.assert_close(actual, call(ops, which, case, **copied))


@pytest.mark.parametrize("value", [1.5, torch.inf])
@pytest.mark.parametrize("case", LAYOUT_CASES, ids=ids(LAYOUT_CASES))
def test_weight_gradient_of_two_expanded_operands(case, value, device):
    """A row of the input and the gradient of a sum: no lane beyond a map's end may count."""
    column = data(*case.input[:3], 1).abs().to(device, torch.float32) + 1
    tensors = {
        "input": column.expand(case.input),
        "weight": torch.zeros(case.weight, device=device),
        "bias": None,
        "grad_output": torch.full((), value, device=device).expand(case.output),
    }
    copied = tensors | {name: tensors[name].contiguous() for name in ("input", "grad_output")}
    for name in algorithms("weight_grad", case, torch.float32, device):
        with forced(name):
            actual = call(ops, "weight_grad", case, **tensors)
            torch.testing.assert_close(
                actual, call(ops, "weight_grad", case, **copied), equal_nan=True
            )


def test_overlapping_input_windows(device):
    x = data(40).to(device, torch.float32).as_strided((3, 2, 4, 5), (2, 3, 4, 1))
    case = ConvCase("", (3, 2, 4, 5), (3, 2, 2, 2))
    w = data(*case.weight).to(device, torch.float32)
    for name in algorithms("forward", case, torch.float32, device):
        with forced(name):
            assert_same_bits(
                ops.conv2d(x, w, None, *case.options),
                ops.conv2d(x.contiguous(), w, None, *case.options),
            )


@pytest.mark.parametrize("bias_of", ["strided", "expanded", "unaligned"])
def test_any_bias(bias_of, device):
    case = CONV_CASES[0]
    tensors = {name: t.to(device, torch.float32) for name, t in operands(case).items()}
    channels = case.weight[0]
    bias = {
        "strided": data(channels, 3)[:, 1],
        "expanded": data(1).expand(channels),
        "unaligned": data(channels + 1)[1:],
    }[bias_of].to(device, torch.float32)
    for name in algorithms("forward", case, torch.float32, device):
        with forced(name):
            assert_same_bits(
                call(ops, "forward", case, **tensors | {"bias": bias}),
                call(ops, "forward", case, **tensors | {"bias": bias.clone()}),
            )


@pytest.mark.parametrize("weight_format", MEMORY_FORMATS)
@pytest.mark.parametrize("input_format", MEMORY_FORMATS)
@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize(
    "size", [(2, 3, 6, 7), (1, 3, 6, 7), (2, 1, 6, 7), (1, 1, 6, 7), (2, 3, 1, 1), (2, 3, 1, 7)]
)
def test_memory_format_is_that_of_torch(
    size, kernel, channels, input_format, weight_format, device
):
    x = torch.ones(size, device=device).contiguous(memory_format=input_format).requires_grad_()
    w = torch.ones(channels, size[1], kernel, kernel, device=device)
    w = w.contiguous(memory_format=weight_format)
    y, reference = (f.conv2d(x, w, padding=kernel // 2) for f in (cnnops.functional, F))
    assert y.stride() == reference.stride()
    (dx,), (expected,) = (torch.autograd.grad(z, x, z.detach()) for z in (y, reference))
    assert dx.stride() == expected.stride()


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (3, 3), (4, 5), (2, 7)])
@pytest.mark.parametrize("dilation", [1, 2, (3, 1)])
def test_same_padding_is_that_of_torch(kernel, dilation, dtype, device):
    x, w = data(2, 4, 9, 10), data(6, 4, *kernel)
    y = cnnops.functional.conv2d(
        x.to(device, dtype), w.to(device, dtype), padding="same", dilation=dilation
    )
    exact = F.conv2d(x, w, padding="same", dilation=dilation)
    magnitude = F.conv2d(x.abs(), w.abs(), padding="same", dilation=dilation)
    assert_within(y, exact, magnitude)


@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (3, 3), (4, 5), (5, 1)])
@pytest.mark.parametrize("stride", [2, 3, (1, 4), (7, 2)])
@pytest.mark.parametrize("dilation", [1, (2, 3)])
def test_same_padding_with_stride(kernel, stride, dilation, device):
    x, w = data(2, 3, 10, 11), data(4, 3, *kernel)
    y = cnnops.functional.conv2d(
        x.to(device), w.to(device), stride=stride, padding="same", dilation=dilation
    )
    strides, dilations = [v if isinstance(v, tuple) else (v, v) for v in (stride, dilation)]
    sides = []
    for d in (1, 0):
        count = -(-x.shape[2 + d] // strides[d])
        total = (count - 1) * strides[d] + dilations[d] * (kernel[d] - 1) + 1 - x.shape[2 + d]
        total = max(total, 0)
        sides += [total // 2, total - total // 2]
    padded = F.pad(x, sides)
    exact = F.conv2d(padded, w, stride=stride, dilation=dilation)
    magnitude = F.conv2d(padded.abs(), w.abs(), stride=stride, dilation=dilation)
    assert y.shape[2:] == tuple(-(-x.shape[2 + d] // strides[d]) for d in (0, 1))
    assert_within(y, exact, magnitude)


@pytest.mark.parametrize("stride", [1, (2, 3)])
@pytest.mark.parametrize("dilation", [1, (2, 3)])
def test_full_padding(stride, dilation, device):
    x, w = data(2, 3, 5, 4), data(4, 3, 3, 2)
    y = cnnops.functional.conv2d(
        x.to(device), w.to(device), stride=stride, padding="full", dilation=dilation
    )
    pad = (2, 1) if dilation == 1 else (4, 3)
    options = {"stride": stride, "padding": pad, "dilation": dilation}
    assert_within(y, F.conv2d(x, w, **options), F.conv2d(x.abs(), w.abs(), **options))


def test_unbatched(device):
    x, w, b = data(3, 6, 7).to(device), data(4, 3, 3, 3).to(device), data(4).to(device)
    y = cnnops.functional.conv2d(x, w, b, padding=1)
    assert y.shape == (4, 6, 7)
    assert_same_bits(y, cnnops.functional.conv2d(x[None], w, b, padding=1)[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_input_channels_leave_the_bias(dtype, device):
    case = ConvCase("", (2, 0, 5, 6), (4, 0, 3, 3))
    x, w = torch.empty(case.input), torch.empty(case.weight)
    x, w, bias = (t.to(device, dtype) for t in (x, w, data(4)))
    y = ops.conv2d(x, w, bias, *case.options)
    assert_same_bits(y, bias[:, None, None].expand(case.output).contiguous())
    grad = torch.ones_like(y)
    assert ops.conv2d_input_grad(grad, w, case.input, *case.options).shape == case.input
    assert ops.conv2d_weight_grad(grad, x, case.weight, *case.options).shape == case.weight


@pytest.mark.parametrize("dtype", DTYPES)
def test_batch_0_gives_zero_weight_gradients(dtype, device):
    case = next(case for case in CONV_CASES if case.name == "batch_0")
    x = torch.empty(case.input, dtype=dtype, device=device)
    grad = torch.empty(case.output, dtype=dtype, device=device)
    for name in algorithms("weight_grad", case, dtype, device):
        with forced(name):
            dw = ops.conv2d_weight_grad(grad, x, case.weight, *case.options)
        assert torch.equal(dw, torch.zeros_like(dw))
    assert torch.equal(ops.conv2d_bias_grad(grad), grad.new_zeros(case.weight[0]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("which", WHICH)
def test_half_types_accumulate_in_float32(which, dtype, device):
    """3008 is exact in both half types, but a sum of ones in them would stop at 256 or 2048."""
    sizes = {
        "forward": ConvCase("", (1, 3008, 1, 1), (1, 3008, 1, 1)),
        "input_grad": ConvCase("", (1, 1, 1, 1), (3008, 1, 1, 1)),
        "weight_grad": ConvCase("", (1, 1, 47, 64), (1, 1, 1, 1)),
    }
    case = sizes[which]
    x, w, g = (
        torch.ones(size, dtype=dtype, device=device)
        for size in (case.input, case.weight, case.output)
    )
    for name in algorithms(which, case, dtype, device):
        with forced(name):
            result = call(ops, which, case, x, w, None, g)
        assert (result == 3008).all()


def test_weight_gradient_ignores_columns_without_a_window(device):
    """Of the samples from the last one of the last window on, only that one enters, by one tap."""
    case = next(case for case in DEPTHWISE_CASES if case.name == "halved_crop")
    tensors = {name: tensor.clone() for name, tensor in operands(case).items()}
    covered = case.stride[1] * (case.output[3] - 1) - case.padding[2] + case.weight[3]
    tensors["input"][..., covered - 1 :] = torch.inf
    for dtype, memory_format in product(DTYPES, MEMORY_FORMATS):
        moved = {
            name: tensors[name].to(device, dtype).contiguous(memory_format=memory_format)
            for name in READ["weight_grad"]
        }
        with forced("depthwise"):
            finite = call(ops, "weight_grad", case, **tensors | moved).isfinite()
        assert finite[..., :-1].all() and not finite[..., -1].any()


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("case", LAYOUT_CASES, ids=ids(LAYOUT_CASES))
def test_non_finite_values_stay_in_their_windows(case, value, dtype, memory_format, device):
    """Padding is absent, not zero times a neighbour: only results that use the element change.

    A Winograd algorithm may change the results whose tile holds the element.
    """
    marked = torch.zeros(case.input, dtype=torch.float64)
    marked[-1, -1, -1, -1] = 1
    ones = torch.ones(case.weight, dtype=torch.float64)
    marks = {"input": marked, "weight": ones, "bias": None, "grad_output": None}
    used = exact("forward", case, **marks) > 0
    x = operands(case)["input"].to(device, dtype).contiguous(memory_format=memory_format)
    x[-1, -1, -1, -1] = value
    for name in algorithms("forward", case, dtype, device, memory_format):
        with forced(name):
            y = ops.conv2d(x, ones.to(device, dtype), None, *case.options)
        changed = ~y.isfinite().cpu()
        assert not (used & ~changed).any()
        assert not (changed & (magnitude("forward", case, name, **marks) == 0)).any()


def test_forced_algorithm_runs_first(device):
    for which, case in product(WHICH, CONV_CASES):
        for name in algorithms(which, case, torch.float32, device):
            with forced(name):
                assert algorithms(which, case, torch.float32, device)[0] == name


def test_every_algorithm_is_tested():
    """Each algorithm of the package, on every device, supports one of the named problems."""
    used = {
        name
        for which, case, dtype in product(WHICH, CONV_CASES, DTYPES)
        for capability, memory_format in product(CAPABILITIES, MEMORY_FORMATS)
        for name in planned(which, case, dtype, capability, memory_format)
    }
    assert used == set(ops._conv2d_algorithms())


def many_geometries():
    """Convolutions of all sorts, far more than can be run."""
    for size, kernel, stride, dilation in product((5, 14, 57), (1, 3, 5, 7, 11), (1, 2, 4), (1, 2)):
        padding = kernel // 2 * dilation
        shared = (stride,) * 2, (padding,) * 4, (dilation,) * 2
        for groups, inputs, outputs in product((1, 2), (1, 3, 8, 16, 64), (1, 8, 16, 70)):
            input = (1, groups * inputs, size, size)
            yield ConvCase("", input, (groups * outputs, inputs, kernel, kernel), *shared, groups)
        for channels, multiplier in product((2, 8, 33), (1, 2)):
            weight = (channels * multiplier, 1, kernel, kernel)
            yield ConvCase("", (1, channels, size, size), weight, *shared, channels)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", WHICH)
def test_no_algorithm_escapes(which, dtype):
    """One that takes any convolution at all takes a named one, in this pass and dtype."""
    for memory_format in MEMORY_FORMATS:

        def taking(cases, memory_format=memory_format):
            plans = (planned(which, case, dtype, None, memory_format) for case in cases)
            return {name for plan in plans for name in plan}

        assert taking(many_geometries()) <= taking(CONV_CASES)
