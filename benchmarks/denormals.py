"""Times a 3x3 convolution on denormal inputs beside normal ones: python -m benchmarks.denormals.

Numbers below the smallest normal one cost some processors a hundred cycles each. The slow-down is a
side's time on inputs full of them over its time on ordinary inputs. What is verified before the
timing are the results of the ordinary ones.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from . import conv2d
from .command_line import parse
from .results import Row, Run
from .runner import Setting, run
from .shapes import ConvShape, conv_shapes
from .timing import Call

SHAPE = "resnet152 64->64 3x3 @56"
KINDS = ("ordinary inputs", "denormal inputs")


class Problem(NamedTuple):
    """The convolution, and what its inputs are: one of KINDS."""

    name: str
    kind: str
    shape: ConvShape


def problems(batch: int) -> Iterator[Problem]:
    shape = next(shape for shape in conv_shapes() if shape.name.startswith(SHAPE))
    for kind in KINDS:
        yield Problem(f"{SHAPE}, {kind}", kind, shape._replace(batch=batch))


class Case:
    """The convolution on inputs or output gradients of a kind; filters are ordinary."""

    def __init__(self, problem: Problem, setting: Setting):
        self.ordinary = conv2d.Case(problem.shape, setting)
        self.batch = self.ordinary.batch
        self.unit = self.ordinary.unit
        self.are_denormal = problem.kind == KINDS[1]
        self.work = self.ordinary.work
        self.verify = self.ordinary.verify

    def sides(self, which: str) -> tuple[Call, Call]:
        timed = copy.copy(self.ordinary)
        if self.are_denormal and which == "input_grad":
            timed.grad_output = _denormal_like(timed.grad_output)
        elif self.are_denormal:
            timed.input = _denormal_like(timed.input)
        return timed.sides(which)


def _denormal_like(tensor):
    """Random signs and magnitudes, none of them normal and few of them zero."""
    largest = torch.finfo(tensor.dtype).smallest_normal
    values = torch.rand_like(tensor, dtype=torch.float64) * 2 - 1
    return (values * largest).to(tensor.dtype)


def slow_downs(rows: Sequence[Row]) -> list[tuple[Row, float, float]]:
    """Every row of denormal inputs with the slow-down of cnnops and of torch."""
    ordinary = {_without_kind(row): row for row in rows if row.kind == KINDS[0]}
    return [
        (
            row,
            row.seconds / ordinary[_without_kind(row)].seconds,
            row.torch_seconds / ordinary[_without_kind(row)].torch_seconds,
        )
        for row in rows
        if row.kind == KINDS[1] and _without_kind(row) in ordinary
    ]


def _without_kind(row):
    return row.which, row.memory_format, row.setting, row.batch


def main(arguments: Sequence[str] | None = None) -> Run:
    options = parse(__doc__.split(":")[0], conv2d.PASSES, arguments)
    result = run(options, "denormals", problems(options.batch or 1), Case)
    print("\ntime on denormal inputs over time on ordinary ones:")
    for row, ours, theirs in slow_downs(result.rows):
        case = f"{row.setting}, {row.which}, {row.memory_format}"
        print(f"{case}: cnnops {ours:.2f}, torch {theirs:.2f}")
    return result


if __name__ == "__main__":
    main()
