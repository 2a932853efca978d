"""The CUDA kernels of the pooling operators, run by the PTX interpreter as their plans launch them.

Max and average pooling must give the bits of the CPU's kernels, which other tests compare with the
oracle; Lp pooling is compared with the oracle here, since powers and contractions may round apart.
"""

import re
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

import oracle
from cases import DILATED_POOL_CASES, DTYPES, MEMORY_FORMATS, POOL_CASES, PoolCase, data, ids
from checks import assert_same_bits, assert_within, layouts
from ptx import Device, compile_ptx, nvcc

pytestmark = pytest.mark.skipif(
    nvcc() is None, reason="nvcc is not on PATH: the kernels cannot be compiled"
)

ops = torch.ops.cnnops
KERNELS = Path(__file__).parent.parent / "csrc" / "cuda"
# Half types differ between these targets.
TARGETS = {"max": "sm_80", "avg": "sm_75", "lp": "sm_90"}
SLOT = 1 << 36  # bytes between the buffers of an interpreted device

RAGGED_CASES = [
    *(
        case
        for case in POOL_CASES
        if case.name in ("halving_odd", "padded_ceil", "kernel_over_map")
    ),
    PoolCase("vectors", (2, 8, 7, 6), (3, 2), (2, 1), (1, 1)),
    PoolCase("stride_over_kernel", (2, 9, 11, 7), (2, 1), (4, 3), (1, 0), ceil_mode=True),
    PoolCase("large_window", (1, 8, 19, 20), (17, 16), (5, 7), (8, 8)),
]
DILATED_CASES = [
    *(case for case in DILATED_POOL_CASES if case.name != "dilated"),
    PoolCase("common_divisor", (2, 3, 19, 17), (3, 4), (4, 6), (4, 5), (6, 4)),
    PoolCase("window_between_samples", (1, 8, 5, 4), (2, 3), (1, 3), (3, 2), (6, 2), True),
]
CASES = RAGGED_CASES + DILATED_CASES
COUNTING = [(True, None), (False, None), (True, -3)]
LP_CASES = [(case, 2.0) for case in RAGGED_CASES if case.name != "large_window"]
LP_CASES += [(case, p) for case, _ in LP_CASES[1:4:2] for p in (1.0, 3.0)]


class Simulation:
    """Runs operators by the CUDA kernels on copies of CPU tensors, and keeps the last launch.

    rows_a_thread makes small launches like those of large batches.
    """

    def __init__(self, case, dtype, order="lockstep", target=None, rows_a_thread=1):
        self.case, self.dtype, self.order, self.target = case, dtype, order, target
        self.rows_a_thread = rows_a_thread
        self.device = Device()
        self.kernel = self.stats = None

    def run(self, op, tensors, *results, **options):
        """The results of an operator whose results have the layouts of `results`."""
        addresses = [self._upload(f"operand {i}", t) for i, t in enumerate(tensors)]
        buffers = [
            self.device.buffer(f"result {i}", t.numel() * t.element_size(), writable=True)
            for i, t in enumerate(results)
        ]
        addresses += [buffer.address for buffer in buffers]
        kernel, launch = self.plan(op, [*tensors, *results], addresses, **options)
        self.stats = self.device.launch(kernel, order=self.order, **launch)
        outputs = tuple(map(download, buffers, results))
        return outputs if len(outputs) > 1 else outputs[0]

    def plan(self, op, tensors, addresses, **options):
        """The kernel that an operator launches, and how."""
        case, result = self.case, tensors[-1]
        channels_last = not result.is_contiguous()
        names, (blocks, threads, shared_bytes), parameters, workspace_bytes = (
            ops._cuda_pool2d_launches(
                op, tensors, addresses, case.input, *case.window, case.dilation, case.ceil_mode,
                self.dtype, channels_last, **options
            )
        )  # fmt: skip
        assert workspace_bytes == 0
        (self.kernel,) = names
        arguments = parameters[0].numpy().tobytes()
        if self.rows_a_thread > 1:
            arguments = with_rows_a_thread(arguments, self.rows_a_thread)
            blocks = -(-int(np.frombuffer(arguments[:8], "i8")[0]) // threads)
        launch = dict(grid=blocks, block=threads, shared_bytes=shared_bytes, arguments=arguments)
        return kernel_named(self.kernel, self.target), launch

    def _upload(self, name, tensor):
        start = tensor.storage_offset()
        contents = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
        contents = contents.view(torch.uint8).numpy()
        return self.device.buffer(name, contents).address + start * tensor.element_size()


# The beginning of Pool2dParams.
DIVIDER = np.dtype([("magic", "u8"), ("divisor", "i8"), ("shift", "u4"), ("", "u4")])
DIVIDERS = [(name, DIVIDER) for name in ("channel_groups", "row_groups", "columns")]
NUMBERS = [(name, "i8") for name in ("channels", "rows", "rows_a_thread")]
PARAMS = np.dtype([("threads", "i8"), *DIVIDERS, *NUMBERS])


def with_rows_a_thread(arguments, rows_a_thread):
    """Parameters of the same launch with another number of rows for a thread."""
    params = np.frombuffer(arguments[: PARAMS.itemsize], PARAMS).copy()
    groups = -(-int(params["rows"][0]) // rows_a_thread)
    shift = (groups - 1).bit_length()
    magic = (((1 << shift) - groups) << 64) // groups + 1
    params["threads"] = params["threads"] // params["row_groups"]["divisor"] * groups
    for name, value in (("magic", magic), ("divisor", groups), ("shift", shift)):
        params["row_groups"][name] = value
    params["rows_a_thread"] = rows_a_thread
    return params.tobytes() + arguments[PARAMS.itemsize :]


def download(buffer, like):
    """The wholly written contents of a buffer, in the layout of `like`."""
    assert buffer.unwritten() == 0
    flat = torch.from_numpy(buffer.array(np.uint8)).view(like.dtype)
    return torch.as_strided(flat, like.shape, like.stride())


@cache
def kernel_named(name, target=None):
    family = re.search("max|avg|lp", name, re.I)[0].lower()
    return compile_ptx(KERNELS / f"pool2d_{family}.cu", target or TARGETS[family]).kernel(name)


def values(case, dtype):
    """Ties, NaN, windows of infinities, and ordinary values."""
    x = data(*case.input)
    x = torch.where(x.abs() < 0.2, x.round(), x)
    x = torch.where(x > 1.8, torch.nan, torch.where(x < -1.8, torch.inf, x))
    x[:, ::2, : case.input[2] // 2] = -torch.inf
    return x.to(dtype)


def assert_same_values(actual, expected):
    """The same bits, but for those of NaN."""
    assert torch.equal(actual.isnan(), expected.isnan())
    assert_same_bits(actual.nan_to_num(nan=1.5), expected.nan_to_num(nan=1.5))


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_max(case, dtype, memory_format):
    window = *case.window, list(case.dilation)
    x = values(case, dtype).contiguous(memory_format=memory_format)
    y, offsets = ops.max_pool2d_with_offsets(x, *window, case.ceil_mode)
    cuda = Simulation(case, dtype)
    assert_same_values(cuda.run("max_pool2d", [x], y), y)
    z, places = cuda.run("max_pool2d_with_offsets", [x], y, offsets)
    assert_same_values(z, y)
    assert torch.equal(places, offsets)
    indices = ops.max_pool2d_indices(offsets, case.input[2:], *window)
    assert torch.equal(cuda.run("max_pool2d_indices", [offsets], indices), indices)
    g = data(*y.shape, salt="grad").to(dtype).contiguous(memory_format=memory_format)
    dx = ops.max_pool2d_backward(g, offsets, case.input[2:], *window)
    assert_same_bits(cuda.run("max_pool2d_backward", [g, offsets], dx), dx)
    selected = ops.max_pool2d_select(x, offsets, *window)
    assert_same_values(cuda.run("max_pool2d_select", [x, offsets], selected), selected)


def test_offsets_without_a_sample_select_0():
    case = PoolCase("", (1, 3, 9, 8), (3, 2), (2, 2), (1, 1), (2, 3))
    window = *case.window, list(case.dilation)
    x = data(*case.input)
    _, places = ops.max_pool2d_with_offsets(x, *window, False)
    for offset in (*range(7), 255):
        offsets = torch.full_like(places, offset)
        selected = ops.max_pool2d_select(x, offsets, *window)
        actual = Simulation(case, x.dtype).run("max_pool2d_select", [x, offsets], selected)
        assert_same_bits(actual, selected)


@pytest.mark.parametrize("memory_format, target", [*zip(MEMORY_FORMATS, ("sm_75", "sm_90"))])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", RAGGED_CASES, ids=ids(RAGGED_CASES))
def test_avg(case, dtype, memory_format, target):
    cuda = Simulation(case, dtype, target=target)
    x = values(case, dtype).contiguous(memory_format=memory_format)
    counting = [(False, None)] if case.name == "large_window" else COUNTING
    for count_include_pad, divisor in counting:
        options = (*case.window, case.ceil_mode, count_include_pad, divisor)
        counts = dict(count_include_pad=count_include_pad, divisor_override=divisor or 0)
        y = ops.avg_pool2d(x, *options)
        assert_same_values(cuda.run("avg_pool2d", [x], y, **counts), y)
        grad = data(*y.shape, salt="grad")
        g = grad.to(dtype).contiguous(memory_format=memory_format)
        expected = ops.avg_pool2d_backward(g, case.input[2:], *options)
        dx = cuda.run("avg_pool2d_backward", [g], expected, **counts)
        exact, magnitude = (
            oracle.avg_pool2d_backward(of.numpy(), case.input[2:], *options)
            for of in (grad, grad.abs())
        )
        assert_within(dx, exact, abs(magnitude))
        if not has_rounded_reciprocal(case, y.shape[2:], count_include_pad, divisor):
            assert_same_bits(dx, expected)


def has_rounded_reciprocal(case, size, count_include_pad, divisor):
    """Whether all windows have one divisor, no power of two: the CPU multiplies by 1 / divisor."""
    divisors = divisor or oracle.window_sizes(case.input[2:], size, *case.window, count_include_pad)
    return np.ptp(divisors) == 0 and abs(np.frexp(np.max(divisors))[0]) != 0.5


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case, norm_type", LP_CASES, ids=[f"{c.name}-{p}" for c, p in LP_CASES])
def test_lp(case, norm_type, dtype, memory_format):
    options = (norm_type, *case.window, case.ceil_mode)
    cuda = Simulation(case, dtype)
    x = data(*case.input).abs().to(dtype).contiguous(memory_format=memory_format)
    like = ops.lp_pool2d(x, *options)
    y = cuda.run("lp_pool2d", [x], like, norm_type=norm_type)
    expected = oracle.lp_pool2d(x.double().numpy(), *options)
    assert_within(y, expected, expected)
    g = data(*y.shape, salt="grad").to(dtype).contiguous(memory_format=memory_format)
    dx = cuda.run("lp_pool2d_backward", [g, x, y], x, norm_type=norm_type)
    arrays = [t.double().numpy() for t in (g, x, y)]
    magnitude = oracle.lp_pool2d_backward(*map(abs, arrays), *options)
    assert_within(dx, oracle.lp_pool2d_backward(*arrays, *options), magnitude)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, 0.5, -2.0])
def test_lp_follows_the_signs_and_infinities_of_the_cpu(norm_type):
    case = PoolCase("", (1, 4, 6, 7), (2, 2), (1, 2), (1, 0))
    x = data(*case.input)
    x[0, 1], x[0, 2] = -x[0, 1].abs(), x[0, 2] * 1e-300
    x[0, 0, 1:3, 1:3], x[0, 3, 2, 2], x[0, 3, 4, 4] = 0, torch.nan, -torch.inf
    for dtype, memory_format in product(DTYPES, MEMORY_FORMATS):
        cuda = Simulation(case, dtype)
        z = x.to(dtype).contiguous(memory_format=memory_format)
        y = ops.lp_pool2d(z, norm_type, *case.window, False)
        tolerance = {"rtol": 16 * torch.finfo(dtype).eps, "atol": 0, "equal_nan": True}
        actual = cuda.run("lp_pool2d", [z], y, norm_type=norm_type)
        torch.testing.assert_close(actual, y, **tolerance)
        g = torch.ones_like(y)
        dx = ops.lp_pool2d_backward(g, z, y, norm_type, *case.window, False)
        actual = cuda.run("lp_pool2d_backward", [g, z, y], dx, norm_type=norm_type)
        tolerance["atol"] = 16 * torch.finfo(dtype).eps
        torch.testing.assert_close(actual, dx, **tolerance)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_l2_neither_overflows_nor_underflows(dtype, memory_format):
    case = PoolCase("", (1, 8, 3, 4), (2, 2), (1, 1))
    info = torch.finfo(dtype)
    x = (data(*case.input).abs() + 0.5).contiguous(memory_format=memory_format)
    for scale in (info.max / 16, info.smallest_normal / info.eps):
        scale = 2.0 ** int(np.log2(scale))
        z = (x * scale).to(dtype)
        like = torch.empty(1, 8, 2, 3, dtype=dtype).contiguous(memory_format=memory_format)
        y = Simulation(case, dtype).run("lp_pool2d", [z], like, norm_type=2.0)
        exact = oracle.lp_pool2d((z.double() / scale).numpy(), 2.0, *case.window, False) * scale
        assert_within(y, exact, exact)


LAYOUT_CASES = [
    PoolCase("overlapping", (2, 5, 7, 6), (3, 3), (2, 1), (1, 1), ceil_mode=True),
    PoolCase("vectors", (2, 8, 6, 5), (2, 3), (1, 2), (0, 1)),
]


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize(
    "case, dtype", [*zip(LAYOUT_CASES, (torch.float32, torch.bfloat16))], ids=ids(LAYOUT_CASES)
)
def test_any_strides(case, memory_format, dtype):
    """What is read may lie anyhow, and what is written has the same bits."""
    window = *case.window, list(case.dilation)
    norm = 2.0, *case.window, case.ceil_mode
    x = data(*case.input).to(dtype)
    y, offsets = ops.max_pool2d_with_offsets(x, *window, case.ceil_mode)
    g = data(*y.shape, salt="grad").to(dtype)
    cuda = Simulation(case, dtype)
    x_like, y_like, o_like = (t.contiguous(memory_format=memory_format) for t in (x, y, offsets))
    dx = ops.max_pool2d_backward(g, offsets, case.input[2:], *window)
    lp = cuda.run("lp_pool2d", [x], y_like)
    dlp = cuda.run("lp_pool2d_backward", [g, x, lp], x_like)
    torch.testing.assert_close(dlp, ops.lp_pool2d_backward(g, x, lp, *norm))
    for (_, a), (_, b), (_, c) in zip(layouts(x), layouts(g), layouts(lp)):
        assert_same_bits(cuda.run("max_pool2d", [a], y_like), y)
        assert_same_bits(cuda.run("max_pool2d_backward", [b, o_like], x_like), dx)
        assert_same_bits(cuda.run("lp_pool2d", [a], y_like), lp)
        assert_same_bits(cuda.run("lp_pool2d_backward", [b, a, c], x_like), dlp)
    # No more than 8 bits hold no NaN to lie between offsets.
    unaligned = torch.zeros(offsets.numel() + 1, dtype=torch.uint8)[1:].view(offsets.shape)
    for places in (offsets, o_like, unaligned.copy_(offsets), offsets.mT.contiguous().mT):
        assert_same_bits(cuda.run("max_pool2d_backward", [g, places], x_like), dx)


@pytest.mark.parametrize("dim", range(4))
def test_expanded(dim):
    case = LAYOUT_CASES[1]
    x = data(*case.input).narrow(dim, 0, 1).expand(case.input)
    cuda = Simulation(case, x.dtype)
    for memory_format in MEMORY_FORMATS:
        y = ops.max_pool2d(x, *case.window, [1, 1], False)
        like = y.contiguous(memory_format=memory_format)
        assert_same_bits(cuda.run("max_pool2d", [x], like), y)


def test_channels_are_accessed_as_vectors_where_memory_allows():
    """16 bytes at a time: of an aligned channels_last tensor of whole vectors, and of no other."""
    for dtype, width in zip(DTYPES, (2, 4, 8, 8)):
        for channels, offset, expected in ((2 * width, 0, width), (2 * width, 1, 1), (9, 0, 1)):
            case = PoolCase("", (2, channels, 5, 5), (2, 2), (1, 1))
            memory = torch.zeros(2 * channels * 25 + offset, dtype=dtype)[offset:]
            x = memory.view(2, 5, 5, channels).permute(0, 3, 1, 2)
            cuda = Simulation(case, dtype)
            cuda.run("max_pool2d", [x], ops.max_pool2d(x, *case.window, [1, 1], False))
            assert cuda.kernel.endswith(f", {expected}>")
            assert cuda.stats.bytes_stored == 2 * channels * 16 * x.element_size()


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("rows_a_thread", [2, 4])
def test_threads_of_several_rows(rows_a_thread, memory_format):
    """The bits are those of threads of one row."""
    case = PoolCase("", (2, 9, 7, 6), (3, 3), (2, 1), (1, 1), ceil_mode=True)
    x = data(*case.input).bfloat16().contiguous(memory_format=memory_format)
    y, offsets = ops.max_pool2d_with_offsets(x, *case.window, [1, 1], True)
    one, several = (Simulation(case, x.dtype, rows_a_thread=n) for n in (1, rows_a_thread))
    z, places = several.run("max_pool2d_with_offsets", [x], y, offsets)
    assert_same_bits(z, y)
    assert torch.equal(places, offsets)
    for op, tensors, like in (
        ("max_pool2d_backward", [y, offsets], x),
        ("avg_pool2d", [x], y),
        ("avg_pool2d_backward", [y], x),
        ("lp_pool2d", [x], y),
        ("lp_pool2d_backward", [y, x, y], x),
    ):
        assert_same_bits(several.run(op, tensors, like), one.run(op, tensors, like))


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
def test_large_batches_have_threads_of_several_rows(memory_format):
    for batch, rows_a_thread in {1: 1, 130: 2, 600: 4}.items():
        case = PoolCase("", (batch, 16, 66, 62), (2, 2), (2, 2))
        x = torch.empty(case.input, device="meta", memory_format=memory_format)
        y = ops.max_pool2d(x, *case.window, [1, 1], False)
        _, launch = Simulation(case, x.dtype).plan("max_pool2d", [x, y], [256, 256])
        params = np.frombuffer(launch["arguments"][: PARAMS.itemsize], PARAMS)
        assert params["rows_a_thread"] == rows_a_thread
        assert params["threads"] == batch * 4 * -(-33 // rows_a_thread) * 31
        assert launch["grid"] == -(-params["threads"] // 128)
        assert with_rows_a_thread(launch["arguments"], rows_a_thread) == launch["arguments"]


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
def test_orders_of_execution_give_the_same_bits(memory_format):
    case = PoolCase("", (2, 9, 5, 6), (3, 3), (2, 2), (1, 1), ceil_mode=True)
    x = data(*case.input).float().contiguous(memory_format=memory_format)
    y, offsets = ops.max_pool2d_with_offsets(x, *case.window, [1, 1], True)
    g = data(*y.shape, salt="grad").float().contiguous(memory_format=memory_format)
    calls = {
        "max_pool2d_with_offsets": ([x], [y, offsets]),
        "max_pool2d_backward": ([g, offsets], [x]),
        "avg_pool2d_backward": ([g], [x]),
        "lp_pool2d_backward": ([g, x, y], [x]),
    }
    for op, (tensors, results) in calls.items():
        first, *others = (
            Simulation(case, x.dtype, order).run(op, tensors, *results)
            for order in ("lockstep", "forward", "backward", "shuffled")
        )
        for other in others:
            for a, b in zip([first], [other]) if len(results) == 1 else zip(first, other):
                assert torch.equal(a, b)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("channels", [3, 8])
def test_batch_sizes_give_the_same_bits(channels, memory_format):
    whole = PoolCase("", (3, channels, 7, 6), (3, 3), (2, 1), (1, 1))
    x = data(*whole.input).half().contiguous(memory_format=memory_format)
    one = PoolCase("", (1, *whole.input[1:]), *whole.window)
    for op in ("avg_pool2d", "lp_pool2d"):
        y = Simulation(whole, x.dtype).run(
            op, [x], ops.avg_pool2d(x, *whole.window, False, True, None)
        )
        g = data(*y.shape, salt="grad").half().contiguous(memory_format=memory_format)
        reads = [g, x, y] if op == "lp_pool2d" else [g]
        dx = Simulation(whole, x.dtype).run(f"{op}_backward", reads, x)
        for i in range(3):
            image = [t[i : i + 1] for t in (x, y, dx, *reads)]
            assert_same_bits(Simulation(one, x.dtype).run(op, [image[0]], image[1]), image[1])
            part = Simulation(one, x.dtype).run(f"{op}_backward", image[3:], image[2])
            assert_same_bits(part, image[2])


def test_tensors_of_more_than_2_to_the_31_elements():
    """The images, then the channels, of what is read lie 2^36 bytes apart."""
    case = PoolCase("", (2, 2, 5, 6), (2, 2), (2, 2))
    for dim, memory_format in product((0, 1), MEMORY_FORMATS):
        x = data(*case.input).contiguous(memory_format=memory_format)
        expected = ops.max_pool2d(x, *case.window, [1, 1], False)
        cuda = Simulation(case, x.dtype)
        parts = [x.select(dim, i).contiguous() for i in (0, 1)]
        first, _ = (cuda.device.buffer(f"part {i}", part.numpy()) for i, part in enumerate(parts))
        result = cuda.device.buffer("result", expected.numel() * 8, writable=True)
        stride = list(parts[0].stride())
        stride.insert(dim, SLOT // 8)
        huge = torch.empty_strided(case.input, stride, device="meta", dtype=x.dtype)
        kernel, launch = cuda.plan("max_pool2d", [huge, expected], [first.address, result.address])
        cuda.device.launch(kernel, **launch)
        assert_same_bits(download(result, expected), expected)


def test_axes_of_more_than_2_to_the_31_samples():
    case = PoolCase(
        "", (1, 1, (1 << 34) + 5, 1), (3, 1), ((1 << 31) - 1, 1), (1 << 29, 0), (1 << 30, 1)
    )
    x = torch.ones(1, 1, 1, 1).expand(case.input)
    window = *case.window, list(case.dilation)
    y, offsets = ops.max_pool2d_with_offsets(x, *window, False)
    cuda = Simulation(case, x.dtype)
    z, places = cuda.run("max_pool2d_with_offsets", [x], y, offsets)
    assert_same_bits(z, y)
    assert torch.equal(places, offsets) and offsets.unique().numel() == 2
    indices = ops.max_pool2d_indices(offsets, case.input[2:], *window)
    assert torch.equal(cuda.run("max_pool2d_indices", [offsets], indices), indices)
    assert indices.max() > 1 << 33


@pytest.mark.parametrize("dtype", DTYPES)
def test_channels_last_moves_whole_sectors(dtype):
    """Each 32 bytes of memory that an access touches are used; a pixel here has 32 or more."""
    case = PoolCase("", (2, 32 // dtype.itemsize * 3, 9, 10), (3, 3), (2, 2), (1, 1))
    window = *case.window, [1, 1]
    x = data(*case.input).to(dtype).contiguous(memory_format=torch.channels_last)
    y, offsets = ops.max_pool2d_with_offsets(x, *window, False)
    for op, tensors, results in (
        ("max_pool2d", [x], [y]),
        ("max_pool2d_backward", [y, offsets], [x]),
        ("avg_pool2d", [x], [y]),
        ("avg_pool2d_backward", [y], [x]),
        ("lp_pool2d", [x], [y]),
        ("lp_pool2d_backward", [y, x, y], [x]),
    ):
        cuda = Simulation(case, dtype)
        cuda.run(op, tensors, *results)
        stats = cuda.stats
        assert stats.ideal_sectors_loaded >= 0.9 * stats.sectors_loaded, op
        assert stats.ideal_sectors_stored >= 0.9 * stats.sectors_stored, op


def test_every_kernel_is_planned():
    """No instance is compiled that no plan launches, and the other way round."""
    planned = set()
    for dtype, memory_format, channels in product(DTYPES, MEMORY_FORMATS, (3, 16)):
        for kernel_size in ((2, 2), (16, 17)):
            case = PoolCase("", (1, channels, 20, 20), kernel_size, (2, 2))
            planned |= set(planned_kernels(case, dtype, memory_format))
    compiled = {
        name
        for family, target in TARGETS.items()
        for name in compile_ptx(KERNELS / f"pool2d_{family}.cu", target).kernel_names
    }
    assert planned == compiled


def planned_kernels(case, dtype, memory_format):
    x = torch.empty(case.input, dtype=dtype, memory_format=memory_format)
    y, offsets = ops.max_pool2d_with_offsets(x, *case.window, [1, 1], False)
    indices = offsets.long()
    calls = {
        "max_pool2d": [x, y],
        "max_pool2d_with_offsets": [x, y, offsets],
        "max_pool2d_backward": [y, offsets, x],
        "max_pool2d_select": [x, offsets, y],
        "max_pool2d_indices": [offsets, indices],
        "avg_pool2d": [x, y],
        "avg_pool2d_backward": [y, x],
        "lp_pool2d": [x, y],
        "lp_pool2d_backward": [y, x, y, x],
    }
    for op, tensors in calls.items():
        for norm_type in (1.0, 2.0, 3.0) if op.startswith("lp") else (2.0,):
            names, *_ = ops._cuda_pool2d_launches(
                op, tensors, [256] * len(tensors), case.input, *case.window, case.dilation, False,
                dtype, memory_format == torch.channels_last, norm_type=norm_type
            )  # fmt: skip
            yield from names
