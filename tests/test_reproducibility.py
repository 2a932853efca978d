"""The same image gives the same bits: whatever the batch size, the number of threads, the run."""

from dataclasses import replace
from itertools import product

import pytest
import torch

from cases import CONV_CASES, DTYPES, MEMORY_FORMATS, POOL_CASES, ConvCase, PoolCase, data, ids
from checks import CAPABILITIES, algorithms, assert_same_bits, forced, planned

ops = torch.ops.cnnops
CONV_NAMES = (
    "lenet_c3",
    "lenet_c5",
    "many_images",
    "cifar_block",
    "cifar_downsample",
    "pointwise",
    "depthwise",
    "grouped",
)
CASES = [case for case in CONV_CASES if case.name in CONV_NAMES] + [
    ConvCase("large_map", (2, 5, 61, 67), (19, 5, 3, 3), padding=(1, 1, 1, 1)),
    ConvCase("small_depthwise", (2, 20, 7, 7), (20, 1, 3, 3), padding=(1, 1, 1, 1), groups=20),
    ConvCase("large_depthwise", (2, 40, 33, 35), (40, 1, 3, 3), (2, 2), (1, 1, 1, 1), groups=40),
]
WINDOWS = [case for case in POOL_CASES if case.name in ("overlapping", "padded_ceil")] + [
    PoolCase("large_map", (2, 33, 61, 67), (3, 3), (2, 2), (1, 1)),
]
THREADS = [1, 2, 3, 7]


@pytest.fixture
def thread_counts():
    """Yields a function that runs a call under every number of threads."""
    before = torch.get_num_threads()

    def run(call):
        results = []
        for threads in THREADS:
            torch.set_num_threads(threads)
            results.append(call())
        return results

    yield run
    torch.set_num_threads(before)


def tensor(size, dtype, memory_format, device, salt=""):
    return data(*size, salt=salt).to(device, dtype).contiguous(memory_format=memory_format)


def conv_calls(case, dtype, memory_format, device):
    """Yield (which, algorithm, call) for the three convolutions; call runs with that algorithm."""
    x = tensor(case.input, dtype, memory_format, device)
    w = tensor(case.weight, dtype, memory_format, device)
    g = tensor(case.output, dtype, memory_format, device, "grad")
    b = data(case.weight[0]).to(device, dtype)
    calls = {
        "forward": lambda: ops.conv2d(x, w, b, *case.options),
        "input_grad": lambda: ops.conv2d_input_grad(g, w, case.input, *case.options),
        "weight_grad": lambda: ops.conv2d_weight_grad(g, x, case.weight, *case.options),
    }
    for which, call in calls.items():
        for name in algorithms(which, case, dtype, device, memory_format):
            yield which, name, call


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_convolutions_over_threads_and_runs(case, dtype, memory_format, device, thread_counts):
    for _, name, call in conv_calls(case, dtype, memory_format, device):
        with forced(name):
            first, *others = thread_counts(call)
            others.append(call())
        for other in others:
            assert_same_bits(other, first)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_convolutions_over_batch_sizes(case, dtype, memory_format, device, thread_counts):
    """An image alone, and first or last in a batch of five."""
    x = tensor((5, *case.input[1:]), dtype, memory_format, device)
    w = tensor(case.weight, dtype, memory_format, device)
    g = tensor((5, *case.output[1:]), dtype, memory_format, device, "grad")
    b = data(case.weight[0]).to(device, dtype)
    calls = {
        "forward": lambda n: ops.conv2d(x[n], w, b, *case.options),
        "input_grad": lambda n: ops.conv2d_input_grad(
            g[n], w, (g[n].shape[0], *case.input[1:]), *case.options
        ),
    }
    for which, call in calls.items():
        for name in algorithms(which, case, dtype, device, memory_format):
            with forced(name):
                for whole in thread_counts(lambda call=call: call(slice(None))):
                    for n in (slice(0, 1), slice(4, 5), slice(1, 4)):
                        assert_same_bits(call(n), whole[n])


@pytest.mark.parametrize("which", ["forward", "input_grad", "weight_grad"])
@pytest.mark.parametrize("case", CONV_CASES, ids=ids(CONV_CASES))
def test_choice_of_algorithm(case, which, thread_counts):
    """Neither the batch size nor the number of threads has a say in it."""

    def choices(n):
        problem = replace(case, input=(n, *case.input[1:]))
        return [
            list(planned(which, problem, dtype, capability, memory_format))
            for dtype, capability, memory_format in product(DTYPES, CAPABILITIES, MEMORY_FORMATS)
        ]

    assert choices(1) == choices(2) == choices(64)
    first, *others = thread_counts(lambda: choices(1))
    assert all(other == first for other in others)


def test_bias_gradient_over_threads(device, thread_counts):
    for dtype, memory_format in product(DTYPES, MEMORY_FORMATS):
        g = tensor((3, 37, 61, 53), dtype, memory_format, device)
        first, *others = thread_counts(lambda g=g: ops.conv2d_bias_grad(g))
        for other in others:
            assert_same_bits(other, first)


def test_conv_transpose2d_over_threads_and_batch_sizes(device, thread_counts):
    options = [2, 2], [1, 1, 1, 1], [1, 1], 1
    for dtype, memory_format in product(DTYPES, MEMORY_FORMATS):
        x = tensor((5, 17, 13, 14), dtype, memory_format, device)
        w, b = data(17, 9, 3, 3).to(device, dtype), data(9).to(device, dtype)
        first, *others = thread_counts(
            lambda x=x, w=w, b=b: ops.conv_transpose2d(x, w, b, *options)
        )
        for other in others:
            assert_same_bits(other, first)
        assert_same_bits(ops.conv_transpose2d(x[4:], w, b, *options), first[4:])


def pool_calls(case, x, g):
    """Calls over images x and gradients g: every pooling, forward and backward."""
    window, dilation, ceil_mode = case.window, [1, 1], case.ceil_mode
    size = case.input[2:]

    def max_backward(n):
        _, offsets = ops.max_pool2d_with_offsets(x[n], *window, dilation, ceil_mode)
        return ops.max_pool2d_backward(g[n], offsets, size, *window, dilation)

    def lp_backward(p, n):
        y = ops.lp_pool2d(x[n], p, *window, ceil_mode)
        return ops.lp_pool2d_backward(g[n], x[n], y, p, *window, ceil_mode)

    return {
        "max": lambda n: ops.max_pool2d(x[n], *window, dilation, ceil_mode),
        "max_backward": max_backward,
        "avg": lambda n: ops.avg_pool2d(x[n], *window, ceil_mode, False, None),
        "avg_backward": lambda n: ops.avg_pool2d_backward(
            g[n], size, *window, ceil_mode, False, None
        ),
        "l2": lambda n: ops.lp_pool2d(x[n], 2.0, *window, ceil_mode),
        "l2_backward": lambda n: lp_backward(2.0, n),
        "l3": lambda n: ops.lp_pool2d(x[n], 3.0, *window, ceil_mode),
        "l3_backward": lambda n: lp_backward(3.0, n),
    }


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", WINDOWS, ids=ids(WINDOWS))
def test_pooling_over_threads_and_batch_sizes(case, dtype, memory_format, device, thread_counts):
    x = tensor((5, *case.input[1:]), dtype, memory_format, device).abs()
    outputs = ops.max_pool2d(x, *case.window, [1, 1], case.ceil_mode).shape
    g = tensor(outputs, dtype, memory_format, device, "grad")
    for call in pool_calls(case, x, g).values():
        first, *others = thread_counts(lambda call=call: call(slice(None)))
        others.append(call(slice(None)))
        for other in others:
            assert_same_bits(other, first)
        for n in (slice(0, 1), slice(4, 5), slice(1, 4)):
            assert_same_bits(call(n), first[n])
