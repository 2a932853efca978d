"""Where poolings change their way: whole and partial vectors, blocks, windows in parts, streams."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F

from cases import DTYPES, MEMORY_FORMATS, PoolCase, data
from checks import assert_same_bits, assert_within

ops = torch.ops.cnnops

# Around one, two and three vectors of every width: as maps, as channels, as columns.
WIDTHS = [
    PoolCase(f"{channels}x{size}_{name}", (batch, channels, 5, size), *window)
    for batch, channels in [(1, 1), (3, 3), (2, 17)]
    for size in (7, 8, 9, 16, 17, 33)
    for name, window in {
        "halving": ((2, 2), (2, 2)),
        "halving_overhang": ((2, 2), (2, 2), (0, 0), (1, 1), True),
        "pairs_of_three_rows": ((3, 2), (3, 2)),
        "pairs_of_three_rows_overhang": ((3, 2), (3, 2), (0, 0), (1, 1), True),
        "padded": ((3, 3), (2, 2), (1, 1)),
        "dense": ((3, 3), (1, 1), (1, 1)),
        "overhang": ((3, 3), (2, 2), (0, 0), (1, 1), True),
    }.items()
]
BLOCKS = [
    PoolCase("several_row_blocks", (1, 9, 90, 61), (3, 3), (2, 2), (1, 1)),
    PoolCase("several_column_blocks", (1, 2, 5, 2500), (3, 3), (2, 2), (1, 1)),
    PoolCase("column_blocks_of_stride_3", (2, 1, 4, 3000), (2, 5), (2, 3), (0, 2)),
    PoolCase("many_channels", (1, 700, 6, 5), (3, 3), (2, 2), (1, 1)),
    PoolCase("window_in_parts", (1, 3, 70, 66), (64, 60), (6, 5)),
    PoolCase("row_in_parts", (1, 2, 3, 4100), (2, 4000), (1, 50)),
    PoolCase("gradients_in_parts", (2, 2, 95, 90), (48, 46), (1, 1)),
    # Windows that tile maps: four vectors of channels at a time, the rest, samples behind the last.
    PoolCase("many_channels_halving", (2, 71, 5, 7), (2, 2), (2, 2)),
    PoolCase("many_channels_halving_ceil", (2, 71, 5, 7), (2, 2), (2, 2), ceil_mode=True),
    PoolCase("tiles_of_three", (3, 20, 7, 11), (3, 3), (3, 3)),
    PoolCase("tiles_of_three_rows_ceil", (5, 6, 8, 9), (3, 4), (3, 4), ceil_mode=True),
    PoolCase("one_window", (3, 24, 5, 6), (5, 6), (5, 6)),
    # Two rows of windows in a vector, of any width.
    *(PoolCase(f"two_rows_of_{size}", (3, 5, 9, size), (2, 2), (2, 2)) for size in (2, 4, 8, 16)),
]
DILATED = [PoolCase("dilated_in_parts", (1, 2, 90, 95), (9, 8), (1, 1), (1, 0), (11, 12))]


def torch_max(x, case):
    arguments = (*case.window, case.dilation, case.ceil_mode)
    return F.max_pool2d(x, *arguments, return_indices=True)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_max_at_every_width(dtype, memory_format):
    for case in WIDTHS + BLOCKS + DILATED:
        window = *case.window, list(case.dilation)
        x = data(*case.input).to(dtype).contiguous(memory_format=memory_format)
        expected, places = torch_max(x, case)
        y, offsets = ops.max_pool2d_with_offsets(x, *window, case.ceil_mode)
        assert_same_bits(y, expected)
        assert_same_bits(ops.max_pool2d(x, *window, case.ceil_mode), expected)
        assert torch.equal(ops.max_pool2d_indices(offsets, case.input[2:], *window), places)
        g = data(*y.shape, salt="grad").to(dtype).contiguous(memory_format=memory_format)
        dx = ops.max_pool2d_backward(g, offsets, case.input[2:], *window)
        exact, magnitude = (
            torch.ops.aten.max_pool2d_with_indices_backward(
                v, x.double(), *window, case.ceil_mode, places
            )
            for v in (g.double(), g.double().abs())
        )
        assert_within(dx, exact, magnitude)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_at_every_width(dtype, memory_format):
    for case in WIDTHS + BLOCKS:
        x = data(*case.input).to(dtype).contiguous(memory_format=memory_format)
        for pad, divisor in [(True, None), (False, None), (True, 3)]:
            options = (case.ceil_mode, pad, divisor)
            exact = F.avg_pool2d(x.double(), *case.window, *options)
            bound = F.avg_pool2d(x.double().abs(), *case.window, *options)
            terms = case.kernel_size[0] * case.kernel_size[1]
            y = ops.avg_pool2d(x, *case.window, *options)
            assert_within(y, exact, bound, max(16, terms))
            g = data(*y.shape, salt="grad").to(dtype).contiguous(memory_format=memory_format)
            backward = torch.ops.aten.avg_pool2d_backward
            dx, magnitude = (
                backward(v, torch.empty(case.input).double(), *case.window, *options)
                for v in (g.double(), g.double().abs())
            )
            actual = ops.avg_pool2d_backward(g, case.input[2:], *case.window, *options)
            assert_within(actual, dx, magnitude, max(16, terms))


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_l2_at_every_width(dtype, memory_format):
    for case in WIDTHS + BLOCKS:
        x = data(*case.input).to(dtype).contiguous(memory_format=memory_format)
        exact = oracle_l2(x.double(), case)
        y = ops.lp_pool2d(x, 2.0, *case.window, case.ceil_mode)
        terms = case.kernel_size[0] * case.kernel_size[1]
        assert_within(y, exact, exact, max(16, terms))
        g = data(*y.shape, salt="grad").to(dtype).contiguous(memory_format=memory_format)
        actual = ops.lp_pool2d_backward(g, x, y, 2.0, *case.window, case.ceil_mode)
        reference = ops.lp_pool2d_backward(
            g.double().contiguous(),
            x.double().contiguous(),
            y.double().contiguous(),
            2.0,
            *case.window,
            case.ceil_mode,
        )
        magnitude = ops.lp_pool2d_backward(
            g.double().abs().contiguous(),
            x.double().abs().contiguous(),
            y.double().contiguous(),
            2.0,
            *case.window,
            case.ceil_mode,
        )
        assert_within(actual, reference, magnitude, max(16, terms))


def oracle_l2(x, case):
    """sqrt(K * mean of squares over the padded window)."""
    kernel = case.kernel_size[0] * case.kernel_size[1]
    return (F.avg_pool2d(x * x, *case.window, case.ceil_mode, True) * kernel).sqrt()


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_one_sample_that_is_not_finite(value, memory_format):
    """At every position of a map, among enough maps to fill vectors."""
    case = PoolCase("", (1, 19, 6, 7), (3, 3), (2, 2), (1, 1))
    for y, x in product(range(6), range(7)):
        input = data(*case.input).float()
        input[0, (7 * y + x) % 19, y, x] = value
        input = input.contiguous(memory_format=memory_format)
        expected, places = torch_max(input, case)
        actual, offsets = ops.max_pool2d_with_offsets(input, *case.window, [1, 1], False)
        torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)
        indices = ops.max_pool2d_indices(offsets, (6, 7), *case.window, [1, 1])
        assert torch.equal(indices, places)
        average = ops.avg_pool2d(input, *case.window, False, True, None)
        torch.testing.assert_close(
            average, F.avg_pool2d(input, *case.window), rtol=1e-6, atol=1e-6, equal_nan=True
        )
        if value != value:
            norm = ops.lp_pool2d(input, 2.0, *case.window, False)
            assert torch.equal(norm.isnan(), average.isnan())


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
def test_ties_and_minus_infinity(memory_format):
    case = PoolCase("", (2, 9, 17, 18), (3, 3), (2, 2), (1, 1))
    for x in (torch.zeros(case.input), torch.full(case.input, -torch.inf)):
        x = x.contiguous(memory_format=memory_format)
        expected, places = torch_max(x, case)
        actual, offsets = ops.max_pool2d_with_offsets(x, *case.window, [1, 1], False)
        assert_same_bits(actual, expected)
        indices = ops.max_pool2d_indices(offsets, (17, 18), *case.window, [1, 1])
        assert torch.equal(indices, places)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_denormals_are_kept(dtype, memory_format):
    tiny = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
    x = (torch.arange(2 * 9 * 8 * 8).reshape(2, 9, 8, 8) * tiny).to(dtype)
    x = x.contiguous(memory_format=memory_format)
    assert_same_bits(ops.max_pool2d(x, [2, 2], [2, 2], [0, 0], [1, 1], False), F.max_pool2d(x, 2))
    average = ops.avg_pool2d(x, [2, 2], [2, 2], [0, 0], False, True, 1)
    assert_same_bits(average, F.avg_pool2d(x, 2, divisor_override=1))
    norm = ops.lp_pool2d(x, 2.0, [1, 1], [1, 1], [0, 0], False)
    assert_same_bits(norm, x)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_l2_of_any_magnitude_beside_any_other(dtype, memory_format):
    """Each window keeps its own scale, and its bits, whatever its neighbours hold."""
    window = [3, 3], [2, 2], [0, 0]
    limits = (-140, 126, 7) if dtype == torch.float32 else (-1000, 1000, 41)
    exponents = torch.arange(*limits).double()
    channels = len(exponents)
    base = data(1, channels, 9, 9).abs() / 4 + 0.25
    exact = base * torch.exp2(exponents)[:, None, None]
    x = exact.to(dtype).contiguous(memory_format=memory_format)
    y = ops.lp_pool2d(x, 2.0, *window, False)
    scale = torch.exp2(-exponents)[:, None, None]
    norm = (F.avg_pool2d((x.double() * scale) ** 2, 3, 2) * 9).sqrt() / scale
    assert_within(y, norm, norm)
    for c in range(channels):
        alone = ops.lp_pool2d(x[:, c : c + 1], 2.0, *window, False)
        assert_same_bits(alone, y[:, c : c + 1])
    g = torch.ones_like(y)
    dx = ops.lp_pool2d_backward(g, x, y, 2.0, *window, False)
    normal = norm.amin((0, 2, 3)) > 64 * torch.finfo(dtype).smallest_normal
    slopes = ops.lp_pool2d_backward(
        *(t.double().contiguous() for t in (g, x.double() * scale, y.double() * scale)),
        2.0,
        *window,
        False,
    )
    assert (dx - slopes).abs()[:, normal].max() <= 16 * torch.finfo(dtype).eps * slopes.max()


LARGE = [(4, 64, 150, 128), (4, 48, 170, 150)]


@pytest.mark.parametrize("size", LARGE)
@pytest.mark.parametrize("window", [([2, 2], [2, 2], [0, 0]), ([3, 3], [2, 2], [1, 1])], ids=str)
def test_large_results(size, window):
    """Results past the caches: the same bits as those of an image alone."""
    x = torch.randn(size).contiguous(memory_format=torch.channels_last)
    y, offsets = ops.max_pool2d_with_offsets(x, *window, [1, 1], False)
    norm = ops.lp_pool2d(x, 2.0, *window, False)
    g = torch.randn_like(y)

    def gradients(of):
        return [
            ops.max_pool2d_backward(g[of], offsets[of], size[2:], *window, [1, 1]),
            ops.avg_pool2d_backward(g[of], size[2:], *window, False, True, None),
            ops.avg_pool2d_backward(g[of], size[2:], *window, False, False, None),
            ops.lp_pool2d_backward(g[of], x[of], norm[of], 2.0, *window, False),
        ]

    alone = [gradients(slice(i, i + 1)) for i in range(size[0])]
    for together, parts in zip(gradients(slice(None)), zip(*alone)):
        assert_same_bits(together, torch.cat(parts))
    assert_same_bits(ops.max_pool2d(x, [1, 1], [1, 1], [0, 0], [1, 1], False), x)


@pytest.mark.parametrize("size", LARGE)
def test_large_results_have_the_bits_of_contiguous_ones(size):
    window = [2, 2], [2, 2], [0, 0]
    y, offsets = ops.max_pool2d_with_offsets(torch.randn(size), *window, [1, 1], False)
    g = torch.randn_like(y)
    pixels = g.contiguous(memory_format=torch.channels_last)
    assert_same_bits(
        ops.max_pool2d_backward(pixels, offsets, size[2:], *window, [1, 1]),
        ops.max_pool2d_backward(g, offsets, size[2:], *window, [1, 1]),
    )
    assert_same_bits(
        ops.avg_pool2d_backward(pixels, size[2:], *window, False, True, None),
        ops.avg_pool2d_backward(g, size[2:], *window, False, True, None),
    )


def test_workspace_is_bounded():
    """Whatever the map and the window."""
    sizes = [(1, 1, 10, 10), (64, 512, 224, 224), (1, 1, 4000, 4000)]
    for size, last in product(sizes, (False, True)):
        for window in ((2, 2), (4, 4)) if size[2] == 10 else ((2, 2), (3, 3), (200, 200)):
            bytes = ops._pool2d_workspace(
                size, window, (2, 2), (0, 0), (1, 1), False, torch.float64, last
            )
            assert bytes <= (128 if last else 64) * 1024 * torch.get_num_threads()
