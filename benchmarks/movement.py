"""Times poolings against their bare movement of memory: python -m benchmarks.movement.

A pooling does too little with a value to be bound by arithmetic. The other side moves its values
and does nothing else: torch sums every operand, which reads it once, and allocates every result
full of zeros, which writes it once. The ratio is the time of the movement over that of cnnops'
whole pass.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

import cnnops.functional

from . import pool2d
from .command_line import parse
from .results import Run
from .runner import Setting, run
from .shapes import pool_shapes
from .timing import Call

PASSES = pool2d.PASSES


class Movement(NamedTuple):
    """What is read and what is written, each once; a call moves it."""

    operands: list[torch.Tensor]
    results: list[torch.Tensor]

    def __add__(self, other: "Movement") -> "Movement":
        return Movement(self.operands + other.operands, self.results + other.results)

    def __call__(self) -> None:
        for operand in self.operands:
            operand.sum()
        for result in self.results:
            torch.zeros_like(result)


def bare_movements(pooling: pool2d.Case) -> dict[str, Movement]:
    """Of each pass."""
    output = pooling.forward(cnnops.functional)
    values = [pooling.input, output] if pooling.problem.operator.backward_reads_values else []
    forward = Movement([pooling.input], [output])
    backward = Movement([pooling.grad_output, *values], [pooling.input])
    return {"forward": forward, "backward": backward, "training": forward + backward}


class Case:
    """One pooling's passes, and the movement of each."""

    unit = pool2d.Case.unit

    def __init__(self, problem: pool2d.Problem, setting: Setting):
        self.pooling = pool2d.Case(problem, setting)
        self.movements = bare_movements(self.pooling)
        self.batch = self.pooling.batch

    def sides(self, which: str) -> tuple[Call, Call]:
        return self.pooling.sides(which)[0], self.movements[which]

    def verify(self, which: str) -> None:
        self.pooling.verify(which)

    def work(self, which: str) -> float:
        return self.pooling.work(which)


def main(arguments: Sequence[str] | None = None) -> Run:
    options = parse(__doc__.split(":")[0], PASSES, arguments)
    shapes = pool_shapes()
    if options.batch:
        shapes = [shape._replace(batch=options.batch) for shape in shapes]
    return run(options, "movement", pool2d.problems(shapes), Case)


if __name__ == "__main__":
    main()
