"""Times pooling, forward and backward, against torch's: python -m benchmarks.pool2d.

Maximum, average and L2 norm over every window of the networks' poolings, see shapes.py; the L2
norm only over windows without padding, which torch's has not. The forward pass runs without
gradients, the backward pass is autograd's alone, and "training" is both. Every case is checked
against torch in float64 before it is timed.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import NamedTuple

import torch
import torch.nn.functional as theirs

import cnnops.functional as ours

from .checks import require_close, tolerance
from .command_line import parse
from .results import Run
from .runner import Setting, run
from .shapes import PoolShape, pool_shapes
from .timing import Call

PASSES = ("forward", "backward", "training")


class Operator(NamedTuple):
    """A pooling, called with torch's functions or ours."""

    call: Callable[[ModuleType, torch.Tensor, PoolShape], torch.Tensor]
    backward_reads_values: bool = False  # of input and output


OPERATORS = {
    "max": Operator(
        lambda functions, x, s: functions.max_pool2d(
            x, s.kernel, s.stride, s.padding, ceil_mode=s.ceil_mode
        )
    ),
    "average": Operator(
        lambda functions, x, s: functions.avg_pool2d(x, s.kernel, s.stride, s.padding, s.ceil_mode)
    ),
    "L2": Operator(
        lambda functions, x, s: functions.lp_pool2d(x, 2, s.kernel, s.stride, s.ceil_mode),
        backward_reads_values=True,
    ),
}


class Problem(NamedTuple):
    """An operator on a window."""

    name: str
    kind: str
    operator: Operator
    shape: PoolShape


def problems(shapes: Sequence[PoolShape]) -> Iterator[Problem]:
    for shape in shapes:
        for name, operator in OPERATORS.items():
            if name != "L2" or shape.padding == 0:
                yield Problem(f"{name} {shape.name}", f"{name} pooling", operator, shape)


class Case:
    """One operator on one window, on each side."""

    unit = "GB/s"

    def __init__(self, problem: Problem, setting: Setting):
        torch.manual_seed(0)
        shape = problem.shape
        self.problem = problem
        self.dtype = setting.dtype
        self.batch = shape.batch
        size = (shape.batch, shape.channels, shape.size, shape.size)
        self.input = torch.randn(size).to(setting.device, setting.dtype)
        self.input = self.input.contiguous(memory_format=setting.memory_format)
        self.grad_output = torch.randn_like(self.forward(ours))

    def sides(self, which: str) -> tuple[Call, Call]:
        return tuple(self._pass(which, functions) for functions in (ours, theirs))

    def verify(self, which: str) -> None:
        expected = self._pass(which, theirs, torch.float64)()
        name = f"{self.problem.name} {which}"
        require_close(name, self._pass(which, ours)(), expected, tolerance(self.dtype))

    def work(self, which: str) -> float:
        """Values read and written once; a saved index is an implementation's own affair."""
        small, large = self.grad_output.nbytes, self.input.nbytes
        backward = (small + large) * (2 if self.problem.operator.backward_reads_values else 1)
        forward = small + large
        return {"forward": forward, "backward": backward, "training": forward + backward}[which]

    def forward(self, functions: ModuleType, dtype: torch.dtype | None = None) -> torch.Tensor:
        with torch.no_grad():
            return self._call(functions, self.input.to(dtype or self.dtype))

    def training(self, functions: ModuleType, dtype: torch.dtype | None = None) -> torch.Tensor:
        return self._backward(functions, dtype)()

    def _pass(self, which, functions, dtype=None) -> Call:
        if which == "backward":
            return self._backward(functions, dtype)
        return partial(getattr(self, which), functions, dtype)

    def _backward(self, functions, dtype) -> Call:
        """The backward pass of a forward pass that has run."""
        input = self.input.detach().to(dtype or self.dtype).requires_grad_()
        output = self._call(functions, input)
        grad_output = self.grad_output.to(output.dtype)
        return lambda: torch.autograd.grad(output, input, grad_output, retain_graph=True)[0]

    def _call(self, functions, input):
        return self.problem.operator.call(functions, input, self.problem.shape)


def main(arguments: Sequence[str] | None = None) -> Run:
    options = parse(__doc__.split(":")[0], PASSES, arguments)
    shapes = pool_shapes()
    if options.batch:
        shapes = [shape._replace(batch=options.batch) for shape in shapes]
    return run(options, "pool2d", problems(shapes), Case)


if __name__ == "__main__":
    main()
