"""Times convolutions against their bare matrix products: python -m benchmarks.products.

A 1x1 convolution is one matrix product, and Winograd's F(4x4, 3x3) and F(4x4, 5x5) are 36 and 64 of
them between transforms. The other side computes these products alone, by torch's matrix product
(MKL's on most CPUs), on operands that lie at their best: no transform, no copy. The ratio is the
time of the products over that of cnnops' whole pass.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch

from . import conv2d
from .command_line import parse
from .results import Run
from .runner import Setting, run
from .shapes import ConvShape, conv_shapes
from .timing import Call

PASSES = conv2d.PASSES


class Form(NamedTuple):
    """How a kind of convolution is matrix products: how many, of tiles of results x results."""

    products: int
    results: int


FORMS = {"1x1": Form(1, 1), "3x3 stride 1": Form(36, 4), "5x5 stride 1": Form(64, 4)}


class Case:
    """One shape's passes, and the products of each."""

    unit = "GFLOP/s"

    def __init__(self, shape: ConvShape, setting: Setting):
        self.convolution = conv2d.Case(shape, setting)
        self.batch = shape.batch
        form = FORMS[shape.kind]
        tiles = shape.batch * (-(-shape.output_size // form.results)) ** 2
        sizes = {
            "forward": (tiles, shape.in_channels, shape.out_channels),
            "input_grad": (tiles, shape.out_channels, shape.in_channels),
            "weight_grad": (shape.out_channels, tiles, shape.in_channels),
        }
        self.products = {
            which: partial(
                torch.matmul,
                _matrices(setting, form.products, rows, depth),
                _matrices(setting, form.products, depth, columns),
            )
            for which, (rows, depth, columns) in sizes.items()
        }

    def sides(self, which: str) -> tuple[Call, Call]:
        return self.convolution.sides(which)[0], self.products[which]

    def verify(self, which: str) -> None:
        self.convolution.verify(which)

    def work(self, which: str) -> float:
        return self.convolution.work(which)


def _matrices(setting: Setting, count: int, rows: int, columns: int) -> torch.Tensor:
    size = (rows, columns) if count == 1 else (count, rows, columns)
    return torch.randn(size).to(setting.device, setting.dtype)


def main(arguments: Sequence[str] | None = None) -> Run:
    options = parse(__doc__.split(":")[0], PASSES, arguments)
    shapes = [shape for shape in conv_shapes() if shape.kind in FORMS]
    if options.batch:
        shapes = [shape._replace(batch=options.batch) for shape in shapes]
    return run(options, "products", shapes, Case)


if __name__ == "__main__":
    main()
