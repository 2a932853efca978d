"""The networks whose layers and training steps are timed, and how their layers are found.

torchvision is imported where it is needed: the tools that read only the tables do without it.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import nn

from cnnops import models

LAYERS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)


class Network(NamedTuple):
    """How a network is built, and the square images it takes."""

    build: Callable[[], nn.Module]
    channels: int
    size: int


class Layer(NamedTuple):
    """A layer as it ran: what it is, and the size of the one image it saw."""

    module: nn.Module
    input_size: torch.Size
    output_size: torch.Size


def _torchvision(name: str, **options) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import torchvision

        return torchvision.models.get_model(name, weights=None, **options)

    return build


def googlenet_of_the_paper() -> nn.Module:
    """torchvision's GoogLeNet with the 5x5 convolutions of Szegedy et al. (2014), table 1.

    torchvision has 3x3 convolutions with the same channels in their place.
    """
    network = NETWORKS["googlenet"].build()
    for block in network.modules():
        if hasattr(block, "branch3"):
            small = block.branch3[1].conv
            block.branch3[1].conv = nn.Conv2d(
                small.in_channels, small.out_channels, 5, padding=2, bias=False
            )
    return network


# Those whose training steps are timed.
NETWORKS = {
    "lenet5": Network(models.lenet5, 1, 32),
    "alexnet": Network(_torchvision("alexnet"), 3, 224),
    "vgg19": Network(_torchvision("vgg19"), 3, 224),
    "googlenet": Network(_torchvision("googlenet", aux_logits=False, init_weights=False), 3, 224),
    "resnet152": Network(_torchvision("resnet152"), 3, 224),
    "resnet20": Network(models.resnet20, 3, 32),
    "plain8": Network(models.plain8, 3, 32),
}
# Those that add the kinds of layers which are missing above, and which layers of theirs count: 5x5
# on colour images, the paper's 5x5, depthwise.
EXTRA_NETWORKS = {
    "lenet5 on CIFAR": (
        Network(lambda: models.lenet5(in_channels=3), 3, 32),
        lambda conv: conv.in_channels == 3,
    ),
    "GoogLeNet's paper": (
        Network(googlenet_of_the_paper, 3, 224),
        lambda conv: conv.kernel_size == (5, 5),
    ),
    "mobilenet_v2": (
        Network(_torchvision("mobilenet_v2"), 3, 224),
        lambda conv: conv.groups > 1,
    ),
}


def walk(network: Network) -> Iterator[Layer]:
    """Every convolution and pooling layer of a network, in the order they run on one image.

    Runs on the meta device, where tensors have sizes and no memory.
    """
    layers = []

    def note(module, inputs, output):
        layers.append(Layer(module, inputs[0].shape, output.shape))

    with torch.device("meta"), torch.no_grad():
        model = network.build().eval()
        for module in model.modules():
            if isinstance(module, LAYERS):
                module.register_forward_hook(note)
        model(torch.empty(1, network.channels, network.size, network.size))
    yield from layers
