"""The layers that are timed: those of the networks, found by walking them.

Equal layers are one shape, named after the first network that has it and the number of layers it
stands for: "vgg19 64->64 3x3 @224 (x1)" has 64 channels in and out, a 3x3 kernel, an input of
224x224 pixels, and is one layer of all networks together. "3x3/2" has a stride of 2.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

from .networks import EXTRA_NETWORKS, NETWORKS, Layer, walk

MOST_IMAGES = 64
MOST_FLOPS = 2e9  # of a pass
MOST_BYTES = 32e6  # of the input and the output of a pass, in float32

# By kernel and stride: the definition's multiplications over those of the best Winograd algorithm.
SAVINGS = {(3, 1): 144 / 36, (5, 1): 400 / 64, (3, 2): 144 / 81}


class ConvShape(NamedTuple):
    """A square convolution; in_channels and out_channels are those of the whole layer."""

    name: str
    batch: int
    in_channels: int
    out_channels: int
    size: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    has_bias: bool = False

    @property
    def output_size(self) -> int:
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def kind(self) -> str:
        """What a goal is set for; few input channels and groups count before the kernel."""
        if self.groups > 1 and self.groups == self.in_channels == self.out_channels:
            return f"depthwise {self.kernel}x{self.kernel}"
        if self.in_channels <= 3:
            return "at most 3 input channels"
        if self.kernel == 1:
            return "1x1"
        return f"{self.kernel}x{self.kernel} stride {self.stride}"

    @property
    def flops_of_image(self) -> int:
        """Of each pass: every product with its addition once, those with padding included."""
        taps = self.in_channels // self.groups * self.kernel**2
        return 2 * self.out_channels * self.output_size**2 * taps

    @property
    def bytes_of_image(self) -> int:
        """Of the input and the output, in float32."""
        return 4 * (self.in_channels * self.size**2 + self.out_channels * self.output_size**2)


class PoolShape(NamedTuple):
    """A square pooling window on a square input; by default it fits without a rest."""

    name: str
    batch: int
    channels: int
    size: int
    kernel: int
    stride: int
    padding: int = 0
    ceil_mode: bool = False

    @property
    def output_size(self) -> int:
        """A window may hang over the end with ceil_mode, but starts before it."""
        last = self.size + 2 * self.padding - self.kernel
        if not self.ceil_mode:
            return last // self.stride + 1
        return min(-(-last // self.stride), (self.size + self.padding - 1) // self.stride) + 1

    @property
    def flops_of_image(self) -> int:
        """One operation for every sample of every window."""
        return self.channels * (self.output_size * self.kernel) ** 2

    @property
    def bytes_of_image(self) -> int:
        """Of the input and the output, in float32."""
        return 4 * self.channels * (self.size**2 + self.output_size**2)


Shape = ConvShape | PoolShape


@functools.cache
def conv_shapes() -> list[ConvShape]:
    """Every distinct convolution of the networks."""
    return _merge(conv_shape(name, layer) for name, layer in _layers())


@functools.cache
def pool_shapes() -> list[PoolShape]:
    """Every distinct window of the networks' max and average poolings."""
    return _merge(_with_pool(name, layer) for name, layer in _layers())


def conv_shape(network: str, layer: Layer) -> ConvShape | None:
    """Of a layer with one image, named after its network; None of other layers."""
    conv = layer.module
    if not isinstance(conv, nn.Conv2d):
        return None
    return ConvShape(
        network,
        1,
        conv.in_channels,
        conv.out_channels,
        _square(layer.input_size[2:]),
        _square(conv.kernel_size),
        _square(conv.stride),
        _square(conv.padding),
        conv.groups,
        conv.bias is not None,
    )


def sized(shape: Shape) -> Shape:
    """The shape with as many images, a power of two, as the limits above let a pass have."""
    batch = MOST_IMAGES
    while batch > 1 and (
        batch * shape.flops_of_image > MOST_FLOPS or batch * shape.bytes_of_image > MOST_BYTES
    ):
        batch //= 2
    return shape._replace(batch=batch)


def _layers() -> Iterator[tuple[str, Layer]]:
    for name, network in NETWORKS.items():
        for layer in walk(network):
            yield name, layer
    for name, (network, counts) in EXTRA_NETWORKS.items():
        for layer in walk(network):
            if isinstance(layer.module, nn.Conv2d) and counts(layer.module):
                yield name, layer


def _with_pool(network: str, layer: Layer) -> PoolShape | None:
    pool = layer.module
    if isinstance(pool, nn.Conv2d):
        return None
    return PoolShape(
        network,
        1,
        layer.input_size[1],
        _square(layer.input_size[2:]),
        *(_square(value) for value in (pool.kernel_size, pool.stride, pool.padding)),
        pool.ceil_mode,
    )


def _square(value) -> int:
    height, width = (value, value) if isinstance(value, int) else value
    if height != width:
        raise ValueError(f"benchmarks: a layer must be square, got {tuple(value)}")
    return height


def _merge(shapes: Iterator[Shape | None]) -> list:
    """Each distinct shape once, named and with its batch; the first layer decides about a bias."""
    first, counts = {}, {}
    for shape in shapes:
        if shape is not None:
            geometry = shape[1:9]
            first.setdefault(geometry, shape)
            counts[geometry] = counts.get(geometry, 0) + 1
    return [
        sized(shape._replace(name=f"{shape.name} {_description(shape)} (x{counts[geometry]})"))
        for geometry, shape in first.items()
    ]


def _description(shape: Shape) -> str:
    window = f"{shape.kernel}x{shape.kernel}{f'/{shape.stride}' if shape.stride > 1 else ''}"
    if isinstance(shape, PoolShape):
        padding = f" padding {shape.padding}" if shape.padding else ""
        ceil = " ceil" if shape.ceil_mode else ""
        return f"{shape.channels} {window} @{shape.size}{padding}{ceil}"
    if shape.kind.startswith("depthwise"):
        return f"{shape.in_channels} depthwise {window} @{shape.size}"
    groups = f" in {shape.groups} groups" if shape.groups > 1 else ""
    return f"{shape.in_channels}->{shape.out_channels}{groups} {window} @{shape.size}"
