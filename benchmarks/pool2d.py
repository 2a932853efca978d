"""Times pooling, forward and backward, against torch's: python -m benchmarks.pool2d.

Every case is checked against torch in float64 before it is timed.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as theirs

import cnnops.functional as ours

from .command_line import (
    DTYPES,
    FORMATS,
    parse,
    print_geometric_mean,
    print_machine,
    require_close,
)
from .timing import compare


class Shape(NamedTuple):
    name: str
    batch: int
    channels: int
    size: int
    kernel: int
    stride: int


SHAPES = [
    Shape("lenet5.s2", 64, 6, 28, 2, 2),
    Shape("plain8", 64, 64, 16, 2, 2),
    Shape("vgg", 8, 64, 112, 2, 2),
    Shape("alexnet", 16, 64, 55, 3, 2),
    Shape("googlenet", 16, 192, 28, 3, 1),
]

# Each takes the module of functions, the input and the window.
OPERATORS: dict[str, Callable] = {
    "max": lambda F, x, window: F.max_pool2d(x, *window),
    "avg": lambda F, x, window: F.avg_pool2d(x, *window),
    "l2": lambda F, x, window: F.lp_pool2d(x, 2, *window),
}


class Case:
    """One operator on one shape, on each side."""

    def __init__(self, operator, shape: Shape, dtype, memory_format, device="cpu"):
        torch.manual_seed(0)
        size = (shape.batch, shape.channels, shape.size, shape.size)
        self.operator = operator
        self.window = (shape.kernel, shape.stride)
        self.input = torch.randn(size, dtype=dtype).to(device, memory_format=memory_format)
        self.grad_output = torch.randn_like(self.forward(ours))

    def forward(self, functions, dtype=None):
        with torch.no_grad():
            return self.operator(functions, self._input(dtype), self.window)

    def forward_and_backward(self, functions, dtype=None):
        input = self._input(dtype).requires_grad_()
        output = self.operator(functions, input, self.window)
        return torch.autograd.grad(output, input, self.grad_output.to(output.dtype))[0]

    def _input(self, dtype):
        return self.input.detach() if dtype is None else self.input.to(dtype)


def main() -> None:
    options = parse(__doc__.split(":")[0], ["forward", "forward_and_backward"])
    print_machine(options)
    print(f"{'shape':<12} {'operator':<9} {'format':<14} {'pass':<21} {'ms':>8} {'ratio':>6}")
    ratios = []
    for shape in SHAPES:
        if options.filter not in shape.name:
            continue
        if options.batch:
            shape = shape._replace(batch=options.batch)
        for name, operator in OPERATORS.items():
            for memory_format in options.formats:
                layout = DTYPES[options.dtype], FORMATS[memory_format], options.device
                case = Case(operator, shape, *layout)
                for which in options.passes:
                    run = getattr(case, which)
                    require_close(f"{shape.name} {name}", run(ours), run(theirs, torch.float64))
                    sides = partial(run, ours), partial(run, theirs)
                    times = compare(*sides, options.seconds, options.device)
                    ratios.append(times.ratio)
                    print(
                        f"{shape.name:<12} {name:<9} {memory_format:<14} {which:<21} "
                        f"{times.cnnops * 1e3:8.3f} {times.ratio:6.2f}",
                        flush=True,
                    )
    print_geometric_mean(ratios)


if __name__ == "__main__":
    main()
