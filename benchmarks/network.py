"""Times whole networks on cnnops and on torch: python -m benchmarks.network.

A step is the forward and the backward pass of one batch in training mode, and leaves the weights as
they are; "forward" is the network in evaluation mode without gradients. Both sides have the same
parameters; results are compared before anything is timed.

"hollow" has, in the place of cnnops, a step whose convolutions and poolings only write zeros: what
is left if they cost nothing else. Its work is the least that convolutions need: with the Winograd
algorithms of cnnops, and without the gradient of the images. "products" has the same step and the
bare matrix products of all convolutions (products.py) beside it.
"""

import copy
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import cnnops

from .checks import TF32_EPS
from .command_line import parse
from .hollow import hollow
from .networks import NETWORKS, Network, walk
from .products import bare_products
from .results import Run
from .runner import Setting, run
from .shapes import SAVINGS, conv_shape
from .timing import Call

PASSES = ("forward", "step", "hollow", "products")
OF_HOLLOW = ("hollow", "products")

MOST_IMAGES = 128
MOST_FLOPS = 150e9  # of a step; about a second on two cores
TOLERANCE = 2**17  # units of the precision, 1.6 % in float32; rounding turns some maxima over


class Problem(NamedTuple):
    """A network and how many images it sees at once."""

    name: str
    kind: str
    network: Network
    batch: int
    flops_of_image: int  # of the convolutions, forward
    least_flops_of_step: float  # with one image


def problems(batch: int | None) -> Iterator[Problem]:
    """Every network; by default with as many images as the limits let a step have."""
    for name, network in NETWORKS.items():
        flops = convolution_flops(network)
        images = batch or MOST_IMAGES
        while not batch and images > 1 and 3 * images * flops > MOST_FLOPS:
            images //= 2
        yield Problem(name, "network", network, images, flops, least_flops_of_step(network))


def convolution_flops(network: Network) -> int:
    """Of one image, forward: every product with its addition once."""
    return sum(flops for _, flops in _convolutions(network))


def least_flops_of_step(network: Network) -> float:
    """Of one image: forward and both gradients, with the multiplications Winograd saves saved."""
    least = [
        flops / SAVINGS.get((conv.kernel_size[0], conv.stride[0]), 1)
        for conv, flops in _convolutions(network)
    ]
    return 3 * sum(least) - least[0]


def _convolutions(network: Network) -> list[tuple[nn.Conv2d, int]]:
    """In the order they run, each with its operations on one image."""
    return [
        (layer.module, 2 * layer.output_size.numel() * layer.module.weight[0].numel())
        for layer in walk(network)
        if isinstance(layer.module, nn.Conv2d)
    ]


class Case:
    """A network's batch and its passes on each side."""

    unit = "GFLOP/s"

    def __init__(self, problem: Problem, setting: Setting):
        torch.manual_seed(0)
        to = dict(dtype=setting.dtype, memory_format=setting.memory_format, device=setting.device)
        network = problem.network
        self.problem = problem
        self.setting = setting
        self.batch = problem.batch
        self.theirs = cnnops.revert(network.build().to(**to))
        self.ours = cnnops.convert(_with_shared_parameters(self.theirs))
        images = torch.randn(problem.batch, network.channels, network.size, network.size)
        self.images = images.to(**to)
        self.labels = torch.randint(10, (problem.batch,), device=setting.device)

    @cached_property
    def hollow(self) -> nn.Module:
        return hollow(_with_shared_parameters(self.theirs))

    @cached_property
    def products(self) -> list[Call]:
        """Of all convolutions, without the gradient of the images; equal shapes share them."""
        products, calls = {}, []
        for layer in walk(self.problem.network):
            shape = conv_shape("", layer)
            if shape is None:
                continue
            shape = shape._replace(batch=self.batch)
            if shape not in products:
                products[shape] = bare_products(shape, self.setting)
            skipped = () if calls else ("input_grad",)
            calls += [call for which, call in products[shape].items() if which not in skipped]
        return calls

    def sides(self, which: str) -> tuple[Call, Call]:
        if which == "products":
            return self.step_of_products, partial(self.step, self.theirs)
        if which == "hollow":
            return partial(self.step, self.hollow), partial(self.step, self.theirs)
        return tuple(partial(getattr(self, which), side) for side in (self.ours, self.theirs))

    def work(self, which: str) -> float:
        """The gradients cost as much as the forward pass, each."""
        if which in OF_HOLLOW:
            return self.batch * self.problem.least_flops_of_step
        return self.batch * self.problem.flops_of_image * (3 if which == "step" else 1)

    def forward(self, network: nn.Module) -> tuple[torch.Tensor, ...]:
        network.eval()
        with torch.no_grad():
            return (network(self.images),)

    def step_of_products(self) -> None:
        self.step(self.hollow)
        for product in self.products:
            product()

    def step(self, network: nn.Module) -> tuple[torch.Tensor, ...]:
        return self._gradients(network.train())

    def verify(self, which: str) -> None:
        """Gradients too in evaluation mode: the same kernels, without dropout's random numbers.

        Batch norm over few images would amplify rounding errors to the size of the gradients.
        Errors grow through a network in any case, so that the norm of a difference is bounded.
        Nothing is right about a hollow network but the sizes.
        """
        if which in OF_HOLLOW:
            return
        check = self.forward if which == "forward" else lambda side: self._gradients(side.eval())
        ours, theirs = (_flattened(check(side)) for side in (self.ours, self.theirs))
        error = (ours - theirs).norm() / theirs.norm()
        eps = TF32_EPS if self.setting.tf32 == "on" else torch.finfo(self.setting.dtype).eps
        allowed = min(TOLERANCE * eps, 0.25)
        if not error <= allowed:
            raise SystemExit(
                f"{self.problem.name} {which}: results differ by {error:.2e} of their norm, "
                f"expected at most {allowed:.2e}"
            )

    def _gradients(self, network):
        loss = cross_entropy(network(self.images).float(), self.labels)
        return torch.autograd.grad(loss, list(network.parameters()))


def _with_shared_parameters(network: nn.Module) -> nn.Module:
    """A copy but for the parameters, which are the network's own."""
    return copy.deepcopy(network, {id(parameter): parameter for parameter in network.parameters()})


def _flattened(results):
    return torch.cat([result.double().flatten() for result in results])


def main(arguments: Sequence[str] | None = None) -> Run:
    options = parse(__doc__.split(":")[0], PASSES, arguments)
    return run(options, "network", problems(options.batch), Case)


if __name__ == "__main__":
    main()
