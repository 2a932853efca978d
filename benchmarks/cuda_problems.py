"""Problems that stand for those of real networks, and what their plans launch on a GPU.

Plans are computed on the host from sizes and strides: tensors here have no memory.
"""

import functools
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch

from .command_line import DTYPES, FORMATS
from .shapes import ConvShape, PoolShape

PASSES = ("forward", "input_grad", "weight_grad")

LAYERS = [
    ConvShape("lenet5.c1", 64, 1, 6, 32, 5),
    ConvShape("lenet5.c3", 64, 6, 16, 14, 5),
    ConvShape("lenet5.c5", 64, 16, 120, 5, 5),
    ConvShape("resnet20.first", 64, 3, 16, 32, 3, padding=1),
    ConvShape("resnet20.16", 64, 16, 16, 32, 3, padding=1),
    ConvShape("resnet20.16-32", 64, 16, 32, 32, 3, stride=2, padding=1),
    ConvShape("resnet20.32", 64, 32, 32, 16, 3, padding=1),
    ConvShape("resnet20.64", 64, 64, 64, 8, 3, padding=1),
    ConvShape("vgg.64", 4, 64, 64, 112, 3, padding=1),
    ConvShape("vgg.512", 8, 512, 512, 14, 3, padding=1),
    ConvShape("resnet.first", 4, 3, 64, 224, 7, stride=2, padding=3),
    ConvShape("resnet.pointwise", 16, 256, 64, 56, 1),
    ConvShape("alexnet.first", 8, 3, 64, 224, 11, stride=4, padding=2),
    ConvShape("mobilenet.depthwise", 16, 96, 96, 56, 3, padding=1, groups=96),
    ConvShape("resnext.grouped", 8, 128, 128, 56, 3, padding=1, groups=32),
]
WINDOWS = [
    PoolShape("lenet5.s2", 64, 6, 28, 2, 2),
    PoolShape("plain8", 64, 64, 16, 2, 2),
    PoolShape("vgg", 8, 64, 112, 2, 2),
    PoolShape("alexnet", 16, 64, 55, 3, 2),
    PoolShape("googlenet", 16, 192, 28, 3, 1),
]
# Beside them: odd numbers of channels, and a window of more than 256 samples, whose offsets take
# more than a byte.
CONV_SHAPES = [*LAYERS, ConvShape("odd", 8, 99, 99, 14, 3, padding=1)]
POOL_SHAPES = [
    *WINDOWS,
    PoolShape("rgb", 64, 3, 224, 2, 2),
    PoolShape("global", 64, 64, 17, 17, 17),
    PoolShape("rgb.global", 64, 3, 17, 17, 17),
]
NORM_TYPES = (1, 2, 3)

ADDRESS = 1 << 20  # stands for that of a tensor's memory


class Launch(NamedTuple):
    """As in csrc/cuda/plan/launch.h, without the parameters."""

    kernel: str
    blocks: int
    threads: int
    shared_bytes: int  # dynamic


class ConvProblem(NamedTuple):
    """One pass of a convolution."""

    shape: ConvShape
    which: str  # of PASSES
    dtype: str
    memory_format: str
    allow_tf32: bool = False

    @property
    def output_size(self) -> int:
        shape = self.shape
        return (shape.size + 2 * shape.padding - shape.kernel) // shape.stride + 1

    def launches(self, arch: int) -> list[Launch]:
        shape = self.shape
        weight_size = (shape.out_channels, shape.in_channels // shape.groups, *[shape.kernel] * 2)
        return _launches(
            torch.ops.cnnops._cuda_conv2d_launches(
                self.which,
                _tensor((shape.batch, shape.in_channels, *[shape.size] * 2), self),
                torch.empty(weight_size, dtype=DTYPES[self.dtype], device="meta"),
                _tensor((shape.batch, shape.out_channels, *[self.output_size] * 2), self),
                [ADDRESS] * 4,
                [shape.stride] * 2,
                [shape.padding] * 4,
                [1, 1],
                shape.groups,
                self.allow_tf32,
                arch,
                ADDRESS,
            )
        )


class BiasGradProblem(NamedTuple):
    """The bias gradient of a convolution."""

    shape: ConvShape
    dtype: str
    memory_format: str

    def launches(self, arch: int) -> list[Launch]:
        output_size = ConvProblem(self.shape, "forward", "", "").output_size
        grad = _tensor((self.shape.batch, self.shape.out_channels, *[output_size] * 2), self)
        return _launches(torch.ops.cnnops._cuda_bias_grad_launches(grad, [ADDRESS] * 2, ADDRESS))


# The tensors that an operator takes and then those that it returns: "i" has the size of the
# pooling's input, "o" that of its output, "f" is the output's size in offsets, "x" in indices.
POOL_OPERATORS = {
    "max_pool2d": "io",
    "max_pool2d_with_offsets": "iof",
    "max_pool2d_backward": "ofi",
    "max_pool2d_select": "ifo",
    "max_pool2d_indices": "fx",
    "avg_pool2d": "io",
    "avg_pool2d_backward": "oi",
    "lp_pool2d": "io",
    "lp_pool2d_backward": "iooi",
}


class PoolProblem(NamedTuple):
    """One operator of pooling."""

    shape: PoolShape
    operator: str  # of POOL_OPERATORS
    dtype: str
    memory_format: str
    norm_type: float = 2

    @property
    def output_size(self) -> int:
        return (self.shape.size - self.shape.kernel) // self.shape.stride + 1

    @property
    def offset_dtype(self) -> torch.dtype:
        return torch.uint8 if self.shape.kernel**2 <= 256 else torch.int32

    def launches(self, arch: int) -> list[Launch]:
        shape = self.shape
        tensors = [self._tensor(kind) for kind in POOL_OPERATORS[self.operator]]
        return _launches(
            torch.ops.cnnops._cuda_pool2d_launches(
                self.operator,
                tensors,
                [ADDRESS] * len(tensors),
                [shape.batch, shape.channels, shape.size, shape.size],
                [shape.kernel] * 2,
                [shape.stride] * 2,
                [0, 0],
                [1, 1],
                False,
                DTYPES[self.dtype],
                self.memory_format == "channels_last",
                norm_type=self.norm_type,
            )
        )

    def _tensor(self, kind: str) -> torch.Tensor:
        size = self.shape.size if kind == "i" else self.output_size
        dtype = {"f": self.offset_dtype, "x": torch.int64}.get(kind)
        return _tensor((self.shape.batch, self.shape.channels, size, size), self, dtype)


Problem = ConvProblem | BiasGradProblem | PoolProblem


def _tensor(size: tuple[int, ...], problem: Problem, dtype=None) -> torch.Tensor:
    return torch.empty(
        size,
        dtype=dtype or DTYPES[problem.dtype],
        device="meta",
        memory_format=FORMATS[problem.memory_format],
    )


def _launches(launch_list: tuple) -> list[Launch]:
    kernels, sizes = launch_list[:2]
    return [Launch(kernel, *sizes[3 * i : 3 * i + 3]) for i, kernel in enumerate(kernels)]


def problems() -> Iterator[Problem]:
    """Every shape in every dtype, memory format and pass."""
    for shape, dtype, memory_format in itertools.product(CONV_SHAPES, DTYPES, FORMATS):
        yield BiasGradProblem(shape, dtype, memory_format)
        for which in PASSES:
            yield ConvProblem(shape, which, dtype, memory_format)
            if dtype == "float32":
                yield ConvProblem(shape, which, dtype, memory_format, allow_tf32=True)
    for shape, dtype, memory_format in itertools.product(POOL_SHAPES, DTYPES, FORMATS):
        for operator in POOL_OPERATORS:
            for norm_type in NORM_TYPES if operator.startswith("lp") else (2,):
                yield PoolProblem(shape, operator, dtype, memory_format, norm_type)


@functools.cache
def launches_by_kernel(arch: int) -> dict[str, list[Launch]]:
    """All launches of the problems' plans on an architecture, each once."""
    found: dict[str, dict[Launch, None]] = {}
    for problem in problems():
        for launch in problem.launches(arch):
            found.setdefault(launch.kernel, {})[launch] = None
    return {kernel: list(launches) for kernel, launches in found.items()}
