"""The CUDA convolution kernels, with their real launch plans, in the PTX interpreter."""

from itertools import product
from math import prod

import pytest
import torch

import oracle
from cases import CONV_CASES, DTYPES, MEMORY_FORMATS, ConvCase, ids
from checks import assert_same_bits, assert_within, layouts
from cnnops import flags
from convolutions import WHICH, operands
from cuda_executor import (
    CAPABILITIES,
    Gpu,
    bias_grad,
    conv2d_pass,
    needs_nvcc,
)
from test_conv2d import expected

pytestmark = needs_nvcc

ALGORITHMS = ["implicit_gemm", "direct"]
CASES = {case.name: case for case in CONV_CASES}
# Shapes that fill tiles of every width and leave the last one ragged.
TILE_CASES = [
    ConvCase("tiles_128", (2, 40, 9, 11), (136, 40, 3, 3), padding=(1, 1, 1, 1)),
    ConvCase("tiles_64", (1, 72, 7, 7), (56, 72, 1, 3), padding=(0, 0, 1, 1)),
    ConvCase("grouped_tiles", (1, 48, 7, 6), (96, 24, 3, 2), (2, 1), (1, 1, 1, 0), groups=2),
]


def is_affordable(problem):
    """A block for each weight is too much to interpret where there are many."""
    case, which, _, _, algorithm = problem
    return (which, algorithm) != ("weight_grad", "direct") or prod(case.weight) <= 2000


EVERYTHING = list(
    filter(
        is_affordable,
        product(CONV_CASES + TILE_CASES, WHICH, DTYPES, MEMORY_FORMATS, ALGORITHMS),
    )
)


def typed(case, dtype, memory_format=torch.contiguous_format):
    """Operands of a case, activations in a memory format."""
    tensors = {name: tensor.to(dtype) for name, tensor in operands(case).items()}
    for name in ("input", "grad_output"):
        tensors[name] = tensors[name].contiguous(memory_format=memory_format)
    return tensors


def run(which, case, tensors, memory_format, algorithm, capability=80, order="lockstep", **more):
    """The result of a pass, and the statistics of its launches."""
    gpu = Gpu(capability, order)
    with flags(algorithm=algorithm):
        result = conv2d_pass(gpu, which, case, tensors, memory_format, **more)
    return result, gpu.stats


def assert_right(case, which, dtype, memory_format, algorithm, capability):
    tensors = typed(case, dtype, memory_format)
    result, _ = run(which, case, tensors, memory_format, algorithm, capability)
    assert_within(result, *expected(which, case))


def name_of(problem):
    (case, which, dtype, memory_format, algorithm), capability = problem
    texts = (case.name, which, dtype, memory_format, algorithm, f"sm_{capability}")
    return "-".join(str(text).removeprefix("torch.") for text in texts)


# 13 shares no factor with the numbers of choices, so that every choice meets every other.
SAMPLE = [
    (problem, CAPABILITIES[index % len(CAPABILITIES)])
    for index, problem in enumerate(EVERYTHING[::13])
]


@pytest.mark.parametrize("problem", SAMPLE, ids=map(name_of, SAMPLE))
def test_sample_of_problems(problem):
    assert_right(*problem[0], problem[1])


@pytest.mark.sweep
@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("problem", EVERYTHING, ids=lambda p: name_of((p, 0))[:-5])
def test_every_problem(problem, capability):
    assert_right(*problem, capability)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("case", TILE_CASES, ids=ids(TILE_CASES))
def test_forward_fills_tiles(case, dtype, memory_format, capability):
    assert_right(case, "forward", dtype, memory_format, "implicit_gemm", capability)


# Channels that fill no 16 bytes, few and many of them: what the sample above leaves out.
HALF_CASES = [
    CASES["cifar_block"],
    TILE_CASES[0],
    ConvCase("odd_channels", (1, 15, 6, 6), (70, 15, 3, 3), padding=(1, 1, 1, 1)),
]


@pytest.mark.parametrize("capability", [75, 80])
@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("which", ["forward", "weight_grad"])
@pytest.mark.parametrize("case", HALF_CASES, ids=ids(HALF_CASES))
def test_half_types(case, which, dtype, memory_format, capability):
    assert_right(case, which, dtype, memory_format, "implicit_gemm", capability)


@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("case", TILE_CASES, ids=ids(TILE_CASES))
def test_tf32(which, case, memory_format):
    """Operands are rounded to 10 bits: an error of 2^-11 each, where 2^-24 is float32's own."""
    tensors = typed(case, torch.float32, memory_format)
    result, _ = run(which, case, tensors, memory_format, "implicit_gemm", allow_tf32=True)
    assert_within(result, *expected(which, case), factor=2**-10 / torch.finfo(torch.float32).eps)


def test_tf32_rounds_to_nearest():
    """1 + 2^-11 is between two TF32 numbers and rounds away from zero, -1 - 2^-11 likewise."""
    case = ConvCase("rounding", (1, 4, 1, 1), (1, 4, 1, 1))
    tensors = {
        "input": torch.tensor([1 + 2.0**-11, -1 - 2.0**-11, 1 + 2.0**-12, 0]).view(1, 4, 1, 1),
        "weight": torch.tensor([4.0, 2.0, 1.0, 1.0]).view(1, 4, 1, 1),
        "grad_output": torch.zeros(1, 1, 1, 1),
        "bias": torch.zeros(1),
    }
    for memory_format in MEMORY_FORMATS:
        result, _ = run("forward", case, tensors, memory_format, "implicit_gemm", allow_tf32=True)
        assert result.item() == 2 * (1 + 2.0**-10) + 1


def test_tf32_keeps_nan_and_infinity():
    case = ConvCase("rounding", (1, 4, 1, 3), (1, 4, 1, 1))
    values = torch.zeros(1, 4, 1, 3)
    values[0, 0, 0] = torch.tensor([torch.inf, -torch.inf, torch.nan])
    values.view(torch.int32)[0, 1, 0, 2] = 0x7FFFFFFF
    tensors = {
        "input": values,
        "weight": torch.ones(1, 4, 1, 1),
        "grad_output": torch.zeros(1, 1, 1, 3),
        "bias": torch.zeros(1),
    }
    for memory_format in MEMORY_FORMATS:
        tensors["input"] = values.contiguous(memory_format=memory_format)
        result, _ = run("forward", case, tensors, memory_format, "implicit_gemm", allow_tf32=True)
        assert result[0, 0, 0, 0] == torch.inf and result[0, 0, 0, 1] == -torch.inf
        assert result[0, 0, 0, 2].isnan()


STRIDED = ConvCase("strided", (2, 16, 9, 8), (8, 16, 3, 3), (2, 1), (1, 1, 1, 1))
LAYOUTS = [
    name for name, _ in layouts(torch.zeros(2, 2, 2, 2)) if name not in ("contiguous", "offset")
]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_strides(layout, which, algorithm):
    case = STRIDED
    tensors = {
        name: dict(layouts(tensor))[layout] if tensor.dim() == 4 else tensor
        for name, tensor in typed(case, torch.float16).items()
    }
    for memory_format in MEMORY_FORMATS:
        result, _ = run(which, case, tensors, memory_format, algorithm)
        assert_within(result, *expected(which, case))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("which", ["forward", "input_grad"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
def test_an_image_has_the_same_bits_in_every_batch(memory_format, dtype, which, algorithm):
    case = ConvCase("batched", (5, 16, 7, 7), (24, 16, 3, 3), (2, 2), (1, 1, 1, 1))
    tensors = typed(case, dtype, memory_format)
    whole, _ = run(which, case, tensors, memory_format, algorithm)
    one = ConvCase("alone", (1, *case.input[1:]), case.weight, case.stride, case.padding)
    alone = tensors | {name: tensors[name][3:4] for name in ("input", "grad_output")}
    assert_same_bits(run(which, one, alone, memory_format, algorithm)[0], whole[3:4])


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_order_of_warps_and_blocks_does_not_matter(dtype, which, memory_format):
    case = CASES["cifar_downsample"]
    tensors = typed(case, dtype, memory_format)
    first, _ = run(which, case, tensors, memory_format, "implicit_gemm", 80)
    for order in ("forward", "backward", "shuffled"):
        again, _ = run(which, case, tensors, memory_format, "implicit_gemm", 80, order)
        assert_same_bits(again, first)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("which", ["forward", "weight_grad"])
def test_images_far_apart(which, algorithm):
    """Strides beyond 2^31 elements: every image lies in a buffer of its own."""
    case = ConvCase("far", (2, 8, 5, 5), (8, 8, 3, 3), padding=(1, 1, 1, 1))
    tensors = typed(case, torch.float16)
    gpu = Gpu(80)
    near, far = (gpu.upload(f"image {n}", tensors["input"][n : n + 1].clone()) for n in (0, 1))
    stride = (far - near) // 2
    assert stride > 2**31
    images = torch.empty_strided(case.input, (stride, 25, 5, 1), dtype=torch.float16, device="meta")
    with flags(algorithm=algorithm):
        result = conv2d_pass(gpu, which, case, tensors | {"input": images}, addresses=(near,))
    assert_within(result, *expected(which, case))


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(2, 5, 3, 7), (1, 33, 1, 1), (3, 40, 20, 17), (0, 4, 2, 2)])
def test_bias_grad(size, dtype, memory_format):
    grad_output = torch.randn(size, dtype=torch.float64).to(dtype)
    grad_output = grad_output.contiguous(memory_format=memory_format)
    exact = oracle.conv2d_bias_grad(grad_output.double().numpy())
    magnitude = oracle.conv2d_bias_grad(grad_output.double().abs().numpy())
    assert_within(bias_grad(Gpu(80), grad_output), exact, magnitude)


# Channels are a multiple of 8, and fill the tiles.
CHUNKED = ConvCase("chunked", (2, 64, 12, 12), (128, 64, 3, 3), padding=(1, 1, 1, 1))


def product_of(launches):
    """The statistics of the matrix product."""
    return next(stats for stats in launches if "gemm" in stats.program.name)


@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_channels_last_asks_for_few_sectors_in_vain(dtype, which):
    tensors = typed(CHUNKED, dtype, torch.channels_last)
    stats = product_of(run(which, CHUNKED, tensors, torch.channels_last, "implicit_gemm")[1])
    asked = stats.sectors_loaded + stats.sectors_stored
    assert stats.ideal_sectors_loaded + stats.ideal_sectors_stored >= 0.9 * asked


@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
def test_main_loops_have_no_bank_conflicts(memory_format, dtype, which):
    tensors = typed(CHUNKED, dtype, memory_format)
    stats = product_of(run(which, CHUNKED, tensors, memory_format, "implicit_gemm")[1])
    products = [number for number, line in stats.lines.items() if is_product(line.text)]
    conflicts = {
        line.text: line.conflicts
        for number, line in stats.lines.items()
        if line.conflicts and min(products) <= number <= max(products)
    }
    assert products and not conflicts


def is_product(instruction):
    return instruction.startswith(("mma.", "fma.rn."))
