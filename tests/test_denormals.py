"""Denormal numbers on the CPU: convolutions take them for zero, poolings keep every bit.

torch.set_flush_denormal is a setting of the calling thread. It changes no result, and holds
afterwards as before, for every thread.
"""

from contextlib import contextmanager

import pytest
import torch

import cnnops  # noqa: F401  (loads the operators)
import oracle
from calls import named
from cases import CONV_CASES, DTYPES, MEMORY_FORMATS, POOL_CASES, data, ids
from checks import algorithms, assert_same_bits, assert_within, forced
from convolutions import READ, WHICH, call, exact, flushed_magnitude, magnitude, operands

ops = torch.ops.cnnops
CASES = [
    *(named(CONV_CASES, name) for name in ("cifar_downsample", "pointwise", "depthwise")),
    *(named(CONV_CASES, name) for name in ("grouped_odd", "tiles_rest_3", "tiles_5x5")),
]
POOL = named(POOL_CASES, "overlapping_ceil")
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
# bfloat16 has the exponents of float32, in which it is summed.
FLUSHED = [torch.float64, torch.float32, torch.bfloat16]


@contextmanager
def user_flushes(setting):
    """The user's setting for this thread, which must hold at the end; references stay outside."""
    if not torch.set_flush_denormal(setting):
        pytest.skip("torch cannot flush denormals on this machine")
    yield
    tiny = torch.tensor([1e-40]) * torch.ones(1)
    torch.set_flush_denormal(False)
    assert tiny.count_nonzero() == (0 if setting else 1)


def of_both_settings(function, *arguments):
    """What function returns, which the user's setting does not change."""
    with user_flushes(False):
        result = function(*arguments)
    with user_flushes(True):
        other = function(*arguments)
    assert_same_bits(other, result)
    return result


def denormals(dtype, *size):
    """Of both signs, from the smallest to the largest, none of them zero."""
    integers = INTEGERS[dtype.itemsize]
    smallest_normal = torch.tensor(torch.finfo(dtype).smallest_normal, dtype=dtype)
    magnitudes = torch.randint(1, smallest_normal.view(integers).item(), size, dtype=integers)
    sign = torch.randint(2, size, dtype=integers) << (8 * dtype.itemsize - 1)
    return (magnitudes | sign).view(dtype)


def results(which, case, dtype, tensors):
    """Yield (algorithm, its factor, result) for every algorithm in both memory formats."""
    for memory_format in MEMORY_FORMATS:
        arguments = [
            t.contiguous(memory_format=memory_format) if t.dim() == 4 else t
            for t in tensors.values()
        ]
        for name in algorithms(which, case, dtype, "cpu", memory_format):
            with forced(name) as factor:
                yield name, factor, of_both_settings(call, ops, which, case, *arguments)


def nothing(which, case, dtype):
    """What a convolution of zeros gives."""
    size = {"forward": case.output, "input_grad": case.input, "weight_grad": case.weight}[which]
    zeros = torch.zeros(size, dtype=dtype)
    return zeros + operands(case)["bias"].to(dtype)[:, None, None] if which == "forward" else zeros


@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize("dtype", FLUSHED)
@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_denormal_operands_are_zero(case, dtype, which):
    """However large the other operand is: their products would be normal."""
    for name in READ[which]:
        tensors = operands(case)
        tensors |= {key: tensors[key] * 2.0**60 for key in READ[which]}
        tensors = {key: t.to(dtype) for key, t in tensors.items()}
        tensors[name] = denormals(dtype, *tensors[name].shape)
        for *_, result in results(which, case, dtype, tensors):
            assert torch.equal(result, nothing(which, case, dtype))


@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize("dtype", FLUSHED)
@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_denormal_results_are_zero(case, dtype, which):
    """Sums of products of normal numbers, far below the smallest one."""
    scale = torch.finfo(dtype).smallest_normal ** 0.5 * 2.0**-10
    tensors = operands(case)
    tensors |= {key: tensors[key] * scale for key in READ[which]}
    tensors = {key: t.to(dtype) for key, t in tensors.items()}
    for *_, result in results(which, case, dtype, tensors):
        assert torch.equal(result, nothing(which, case, dtype))


@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_error_where_some_are_flushed(case, dtype, which):
    """An operand of every magnitude from the smallest denormal to far above the normal ones."""
    info = torch.finfo(dtype)
    lowest = {torch.float64: -1074, torch.float32: -149}[dtype]
    tensors = {key: t.to(dtype) for key, t in operands(case).items()}
    first = tensors[READ[which][0]]
    tensors[READ[which][0]] = torch.ldexp(first, torch.randint(lowest, lowest + 80, first.shape))
    wide = {key: t.double() for key, t in tensors.items()}
    reference = exact(which, case, **wide)
    for name, factor, result in results(which, case, dtype, tensors):
        flushed = 2 * info.smallest_normal * flushed_magnitude(which, case, name, **wide)
        assert_within(result, reference, magnitude(which, case, name, **wide), factor, flushed)


@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_denormal_halves_count(case, which):
    """A float16 below the smallest normal one is a normal float32, and so is read and written."""
    for name in READ[which]:
        tensors = {key: t.half() for key, t in operands(case).items()}
        tensors[name] = denormals(torch.float16, *tensors[name].shape)
        tensors["bias"] = denormals(torch.float16, *tensors["bias"].shape)
        wide = {key: t.double() for key, t in tensors.items()}
        reference = exact(which, case, **wide)
        for algorithm, factor, result in results(which, case, torch.float16, tensors):
            scale = magnitude(which, case, algorithm, **wide)
            assert_within(result, reference, scale, factor)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_bias_gradient(dtype, memory_format):
    g = denormals(dtype, 2, 19, 7, 9).contiguous(memory_format=memory_format)
    db = of_both_settings(ops.conv2d_bias_grad, g)
    if dtype in FLUSHED:
        assert torch.equal(db, torch.zeros_like(db))
    else:
        assert_within(db, g.double().sum((0, 2, 3)), g.double().abs().sum((0, 2, 3)))


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_max_pooling_keeps_them(dtype, memory_format):
    window, size = (*POOL.window, list(POOL.dilation)), POOL.input[2:]
    x = denormals(dtype, *POOL.input).contiguous(memory_format=memory_format)
    maxima, offsets = oracle.max_pool2d(x.double().numpy(), *window, POOL.ceil_mode)
    maxima = torch.from_numpy(maxima).to(dtype)
    _, places = ops.max_pool2d_with_offsets(x, *window, POOL.ceil_mode)
    assert (places.numpy() == offsets).all()
    assert_same_bits(of_both_settings(ops.max_pool2d, x, *window, POOL.ceil_mode), maxima)
    assert_same_bits(of_both_settings(ops.max_pool2d_select, x, places, *window), maxima)

    g = denormals(dtype, *maxima.shape).contiguous(memory_format=memory_format)
    indices = oracle.max_pool2d_indices(offsets, size, *window)
    dx = oracle.max_pool2d_backward(g.double().numpy(), indices, size)
    back = of_both_settings(ops.max_pool2d_backward, g, places, size, *window)
    assert torch.equal(back, torch.from_numpy(dx).to(dtype))


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_average_pooling_keeps_them(dtype, memory_format):
    """The mean of two even denormals is a denormal again, without rounding."""
    x = denormals(dtype, 2, 19, 7, 10).contiguous(memory_format=memory_format)
    x = (x.view(INTEGERS[dtype.itemsize]) & ~1).view(dtype)
    window = [1, 2], [1, 2], [0, 0], False, True, None
    means = (x[..., ::2].double() + x[..., 1::2].double()) / 2
    assert torch.equal(of_both_settings(ops.avg_pool2d, x, *window), means.to(dtype))


@pytest.mark.parametrize("setting", [False, True])
@pytest.mark.parametrize("operator", ["convolution", "pooling"])
def test_the_other_threads_stay_as_they_were(operator, setting):
    """torch's own arithmetic, spread over all threads, before and after."""
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    tiny = torch.full((1 << 20,), 1e-40)
    x, w = data(8, 16, 32, 32).float(), data(16, 16, 3, 3).float()
    with user_flushes(setting):
        before = tiny * 1.5
        if operator == "convolution":
            ops.conv2d(x, w, None, [1, 1], [1, 1, 1, 1], [1, 1], 1)
        else:
            ops.max_pool2d(x, [2, 2], [2, 2], [0, 0], [1, 1], False)
        after = tiny * 1.5
    torch.set_num_threads(threads)
    assert_same_bits(after, before)
