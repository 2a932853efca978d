"""Times tiny calls with all their Python: python -m benchmarks.tiny.

The layers of LeNet-5 on one image, as modules on either side: a forward pass without gradients, and
"training", a forward and a backward pass through autograd. What counts here is the way to a kernel.
"""

import copy
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

import cnnops

from .checks import require_close, tolerance
from .command_line import parse
from .networks import NETWORKS, Layer, walk
from .results import Run
from .runner import Setting, run
from .timing import Call

PASSES = ("forward", "training")


class Problem(NamedTuple):
    """A layer and the number of images it sees."""

    name: str
    kind: str
    layer: Layer
    batch: int


def problems(batch: int) -> Iterator[Problem]:
    for index, layer in enumerate(walk(NETWORKS["lenet5"])):
        size = "x".join(map(str, layer.input_size[1:]))
        name = f"lenet5 layer {index + 1}: {type(layer.module).__name__} on {size}"
        yield Problem(name, "tiny call", layer, batch)


class Case:
    """A layer's modules and its input."""

    unit = "GB/s"

    def __init__(self, problem: Problem, setting: Setting):
        torch.manual_seed(0)
        self.problem = problem
        self.setting = setting
        self.batch = problem.batch
        module = copy.deepcopy(problem.layer.module).to_empty(device=setting.device)
        for parameter in module.parameters():
            nn.init.normal_(parameter)
        to = dict(dtype=setting.dtype, memory_format=setting.memory_format)
        self.theirs = cnnops.revert(module.to(**to))
        self.ours = cnnops.convert(copy.deepcopy(self.theirs))
        self.input = torch.randn(problem.batch, *problem.layer.input_size[1:])
        self.input = self.input.to(setting.device, **to).requires_grad_()
        self.grad_output = torch.randn_like(self.theirs(self.input))

    def sides(self, which: str) -> tuple[Call, Call]:
        call = getattr(self, which)
        return tuple(partial(call, side, self.input) for side in (self.ours, self.theirs))

    def verify(self, which: str) -> None:
        call = getattr(self, which)
        exact = call(copy.deepcopy(self.theirs).double(), self.input.detach().double())
        allowed = tolerance(self.setting.dtype, self.setting.tf32)
        for result, expected in zip(call(self.ours, self.input), exact, strict=True):
            require_close(f"{self.problem.name} {which}", result, expected, allowed)

    def work(self, which: str) -> float:
        """What input, output and parameters weigh, with their gradients in training."""
        weights = sum(parameter.nbytes for parameter in self.theirs.parameters())
        moved = self.input.nbytes + self.grad_output.nbytes + weights
        return moved * (2 if which == "training" else 1)

    def forward(self, module: nn.Module, input: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with torch.no_grad():
            return (module(input),)

    def training(self, module: nn.Module, input: torch.Tensor) -> tuple[torch.Tensor, ...]:
        input.requires_grad_()
        output = module(input)
        grad_output = self.grad_output.to(output.dtype)
        return torch.autograd.grad(output, [input, *module.parameters()], grad_output)


def main(arguments: Sequence[str] | None = None) -> Run:
    options = parse(__doc__.split(":")[0], PASSES, arguments)
    return run(options, "tiny", problems(options.batch or 1), Case)


if __name__ == "__main__":
    main()
