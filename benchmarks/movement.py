"""Times poolings against their bare movement of memory: python -m benchmarks.movement.

A pooling does too little with a value to be bound by arithmetic. The other side moves its values
and does nothing else: torch sums every operand, which reads it once, and allocates every result
full of zeros, which writes it once. The ratio is the time of the movement over that of cnnops'
whole pass.
"""

from collections.abc import Sequence

import cnnops.functional

from . import bare, pool2d
from .bare import Movement
from .command_line import parse
from .results import Run
from .runner import Setting, run
from .shapes import pool_shapes

PASSES = pool2d.PASSES


def bare_movements(pooling: pool2d.Case) -> dict[str, Movement]:
    """Of each pass."""
    output = pooling.forward(cnnops.functional)
    values = [pooling.input, output] if pooling.problem.operator.backward_reads_values else []
    forward = Movement([pooling.input], [output])
    backward = Movement([pooling.grad_output, *values], [pooling.input])
    return {"forward": forward, "backward": backward, "training": forward + backward}


class Case(bare.Case):
    """One pooling's passes, and the movement of each."""

    def __init__(self, problem: pool2d.Problem, setting: Setting):
        pooling = pool2d.Case(problem, setting)
        super().__init__(pooling, bare_movements(pooling))


def main(arguments: Sequence[str] | None = None) -> Run:
    options = parse(__doc__.split(":")[0], PASSES, arguments)
    shapes = pool_shapes()
    if options.batch:
        shapes = [shape._replace(batch=options.batch) for shape in shapes]
    return run(options, "movement", pool2d.problems(shapes), Case)


if __name__ == "__main__":
    main()
