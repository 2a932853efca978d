"""What compute-sanitizer watches (make sanitize-gpu): every kernel, on awkward small problems.

Results are the business of other tests; here an access out of bounds, a race or a read of
uninitialized memory shows under its tool. So nothing is filled with NaN, and the inputs are copied
from the CPU.
"""

import pytest
import torch

from calls import Calls, named
from cases import CONV_CASES, DILATED_POOL_CASES, DTYPES, MEMORY_FORMATS, POOL_CASES, ConvCase
from checks import layouts

pytestmark = pytest.mark.usefixtures("unpoisoned_memory")

POOLS = POOL_CASES + DILATED_POOL_CASES
PROBLEMS = [
    ("cifar_downsample", "overlapping_ceil"),
    ("grouped_odd", "padded_ceil"),
    ("depthwise_stride", "rectangular"),
    ("many_channels", "large_window"),
    ("pointwise_stride", "stride_over_kernel_ceil"),
    ("lopsided_padding", "dilated_ceil"),
    ("cropped", "kernel_over_map"),
    ("whole_map", "global"),
    ("one_everything", "one_everything"),
]
# Several tiles in every direction, and the last of each not full.
TILES = ConvCase("tiles", (3, 72, 13, 11), (136, 72, 3, 3), padding=(1, 1, 1, 1))


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_kernel(dtype, memory_format, device):
    convs = [(named(CONV_CASES, conv), named(POOLS, pool)) for conv, pool in PROBLEMS]
    for conv, pool in [*convs, (TILES, named(POOLS, "dense"))]:
        run(Calls(device, dtype, memory_format, conv, pool))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_layout(dtype, device):
    calls = Calls(device, dtype, conv=named(CONV_CASES, "grouped"))
    maps = ("input", "weight", "grad_output", "map", "grad_pooled", "pooled")
    originals = {name: calls.tensors[name] for name in maps}
    for layout, _ in layouts(torch.zeros(1, 1, 1, 1)):
        for name in maps:
            calls.tensors[name] = dict(layouts(originals[name]))[layout]
        run(calls)


def run(calls):
    """An error of the GPU is raised where it happened, not by a later test."""
    for _, call in calls:
        call()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
