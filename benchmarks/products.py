"""Times convolutions against their bare matrix products: python -m benchmarks.products.

A convolution is one matrix product of its patches, and Winograd's algorithms are 36 to 81 smaller
ones between transforms. The other side computes these products alone, by torch's matrix product
(MKL's on most CPUs), on operands that lie at their best: no transform, no copy, no gathering. A
depthwise convolution has no such products, but bare movement, see bare.py. The ratio is the
time of the products over that of cnnops' whole pass.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch

from . import bare, conv2d
from .bare import Movement
from .command_line import parse
from .results import Run
from .runner import Setting, run
from .shapes import ConvShape, conv_shapes
from .timing import Call

PASSES = conv2d.PASSES
LEAST_CHANNELS, TILE = 8, 4  # of Winograd's algorithms


class Form(NamedTuple):
    """A convolution as matrix products: how many, of tiles of results x results, how deep."""

    products: int
    results: int
    depth: int


def form_of(shape: ConvShape) -> Form:
    """With the fewest multiplications; groups are not taken apart."""
    products = {(3, 1): 36, (5, 1): 64, (3, 2): 81}.get((shape.kernel, shape.stride))
    channels = min(shape.in_channels, shape.out_channels)
    if products and channels >= LEAST_CHANNELS and shape.output_size >= TILE:
        return Form(products, TILE, shape.in_channels)
    return Form(1, 1, shape.in_channels * shape.kernel**2)


def bare_movements(convolution: conv2d.Case) -> dict[str, Movement]:
    """Of each pass; filters and their gradients are small."""
    input, output = convolution.input, convolution.grad_output
    return {
        "forward": Movement([input], [output]),
        "input_grad": Movement([output], [input]),
        "weight_grad": Movement([input, output], []),
    }


def bare_products(shape: ConvShape, setting: Setting) -> dict[str, Call]:
    """The products of each pass."""
    count, results, depth = form_of(shape)
    tiles = shape.batch * (-(-shape.output_size // results)) ** 2
    sizes = {
        "forward": (tiles, depth, shape.out_channels),
        "input_grad": (tiles, shape.out_channels, depth),
        "weight_grad": (shape.out_channels, tiles, depth),
    }
    return {
        which: partial(
            torch.matmul,
            _matrices(setting, count, rows, inner),
            _matrices(setting, count, inner, columns),
        )
        for which, (rows, inner, columns) in sizes.items()
    }


def _matrices(setting: Setting, count: int, rows: int, columns: int) -> torch.Tensor:
    size = (rows, columns) if count == 1 else (count, rows, columns)
    return torch.randn(size).to(setting.device, setting.dtype)


class Case(bare.Case):
    """One shape's passes, and the products of each, or the movement of a depthwise convolution."""

    def __init__(self, shape: ConvShape, setting: Setting):
        convolution = conv2d.Case(shape, setting)
        bare_work = (
            bare_movements(convolution) if shape.groups > 1 else bare_products(shape, setting)
        )
        super().__init__(convolution, bare_work)


def main(arguments: Sequence[str] | None = None) -> Run:
    options = parse(__doc__.split(":")[0], PASSES, arguments)
    shapes = [shape for shape in conv_shapes() if shape.groups in (1, shape.in_channels)]
    if options.batch:
        shapes = [shape._replace(batch=options.batch) for shape in shapes]
    return run(options, "products", shapes, Case)


if __name__ == "__main__":
    main()
