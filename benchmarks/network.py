"""Times a training step of whole networks on cnnops and on torch: python -m benchmarks.network.

The same network, converted and reverted in turn, so that both sides train the same parameters; the
gradients are compared before anything is timed.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import cnnops
from cnnops import models

from .command_line import DTYPES, FORMATS, parse, print_geometric_mean, print_machine
from .timing import compare

# Name: network, batch size, channels of its 32x32 images.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "lenet5": (models.lenet5, 32, 1),
    "plain8": (models.plain8, 128, 3),
    "resnet20": (models.resnet20, 128, 3),
}


class Step:
    """Forward and backward of one batch; the weights stay as they are."""

    def __init__(self, network: nn.Module, images: torch.Tensor):
        self.network = network
        self.images = images
        self.labels = torch.randint(10, (len(images),), device=images.device)

    def on_cnnops(self) -> list[torch.Tensor]:
        return self._run(cnnops.convert(self.network))

    def on_torch(self) -> list[torch.Tensor]:
        return self._run(cnnops.revert(self.network))

    def _run(self, network):
        loss = cross_entropy(network(self.images).float(), self.labels)
        return torch.autograd.grad(loss, list(network.parameters()))


def require_same_gradients(name: str, step: Step, tolerance: float) -> None:
    """Refuses to time a network whose gradients differ by more than a share of the largest."""
    for ours, theirs in zip(step.on_cnnops(), step.on_torch(), strict=True):
        error, largest = (ours - theirs).abs().max(), theirs.abs().max()
        if not error <= tolerance * largest:
            raise SystemExit(f"{name}: gradients differ by {error:.2e} of at most {largest:.2e}")


def main() -> None:
    options = parse(__doc__.split(":")[0], ["step"])
    print_machine(options)
    print(f"{'network':<10} {'format':<14} {'images/s':>9} {'torch':>9} {'ratio':>6}")
    ratios = []
    for name, (build, batch, channels) in NETWORKS.items():
        if options.filter not in name:
            continue
        batch = options.batch or batch
        for memory_format in options.formats:
            torch.manual_seed(0)
            to = dict(dtype=DTYPES[options.dtype], memory_format=FORMATS[memory_format])
            to |= dict(device=options.device)
            step = Step(build().to(**to), torch.randn(batch, channels, 32, 32).to(**to))
            require_same_gradients(name, step, tolerance=0.1 if options.tf32 else 0.01)
            sides = step.on_cnnops, step.on_torch
            times = compare(*sides, options.seconds, options.device)
            ratios.append(times.ratio)
            print(
                f"{name:<10} {memory_format:<14} {batch / times.cnnops:9.0f} "
                f"{batch / times.torch:9.0f} {times.ratio:6.2f}",
                flush=True,
            )
    print_geometric_mean(ratios)


if __name__ == "__main__":
    main()
