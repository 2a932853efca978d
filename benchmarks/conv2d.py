"""Times the passes of a convolution against torch's (oneDNN, cuDNN): python -m benchmarks.conv2d.

Every case is checked against torch in float64 before it is timed.
"""

from typing import NamedTuple

import torch
from torch.nn.functional import conv2d

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
    """A convolution layer; in_channels and out_channels are those of the whole layer."""

    name: str
    batch: int
    in_channels: int
    out_channels: int
    size: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1


SHAPES = [
    Shape("lenet5.c1", 64, 1, 6, 32, 5),
    Shape("lenet5.c3", 64, 6, 16, 14, 5),
    Shape("lenet5.c5", 64, 16, 120, 5, 5),
    Shape("resnet20.first", 64, 3, 16, 32, 3, padding=1),
    Shape("resnet20.16", 64, 16, 16, 32, 3, padding=1),
    Shape("resnet20.16-32", 64, 16, 32, 32, 3, stride=2, padding=1),
    Shape("resnet20.32", 64, 32, 32, 16, 3, padding=1),
    Shape("resnet20.64", 64, 64, 64, 8, 3, padding=1),
    Shape("vgg.64", 4, 64, 64, 112, 3, padding=1),
    Shape("vgg.512", 8, 512, 512, 14, 3, padding=1),
    Shape("resnet.first", 4, 3, 64, 224, 7, stride=2, padding=3),
    Shape("resnet.pointwise", 16, 256, 64, 56, 1),
    Shape("alexnet.first", 8, 3, 64, 224, 11, stride=4, padding=2),
    Shape("mobilenet.depthwise", 16, 96, 96, 56, 3, padding=1, groups=96),
    Shape("resnext.grouped", 8, 128, 128, 56, 3, padding=1, groups=32),
]


class Case:
    """One shape's tensors, and each pass on each side."""

    def __init__(
        self,
        shape: Shape,
        dtype: torch.dtype,
        memory_format: torch.memory_format,
        device: str = "cpu",
    ):
        torch.manual_seed(0)
        self.shape = shape
        self.input = torch.randn(
            shape.batch, shape.in_channels, shape.size, shape.size, dtype=dtype
        ).to(device, memory_format=memory_format)
        self.weight = torch.randn(
            shape.out_channels, shape.in_channels // shape.groups, shape.kernel, shape.kernel
        ).to(device, dtype)
        self.geometry = ([shape.stride] * 2, [shape.padding] * 4, [1, 1], shape.groups)
        self.grad_output = torch.randn_like(self.forward())

    def forward(self):
        return torch.ops.cnnops.conv2d(self.input, self.weight, None, *self.geometry)

    def input_grad(self):
        return torch.ops.cnnops.conv2d_input_grad(
            self.grad_output, self.weight, self.input.shape, *self.geometry
        )

    def weight_grad(self):
        return torch.ops.cnnops.conv2d_weight_grad(
            self.grad_output, self.input, self.weight.shape, *self.geometry
        )

    def torch_forward(self, dtype=None):
        shape = self.shape
        return conv2d(
            self.input.to(dtype or self.input.dtype),
            self.weight.to(dtype or self.weight.dtype),
            None,
            shape.stride,
            shape.padding,
            1,
            shape.groups,
        )

    def torch_input_grad(self, dtype=None):
        return self._torch_backward([True, False, False], dtype)[0]

    def torch_weight_grad(self, dtype=None):
        return self._torch_backward([False, True, False], dtype)[1]

    def _torch_backward(self, wanted, dtype):
        operands = (self.grad_output, self.input, self.weight)
        if dtype is not None:
            operands = [operand.to(dtype) for operand in operands]
        stride, padding = [self.shape.stride] * 2, [self.shape.padding] * 2
        return torch.ops.aten.convolution_backward(
            *operands, None, stride, padding, [1, 1], False, [0, 0], self.shape.groups, wanted
        )

    def flops(self) -> int:
        shape = self.shape
        return 2 * self.grad_output.numel() * shape.in_channels // shape.groups * shape.kernel**2


def main() -> None:
    options = parse(__doc__.split(":")[0], ["forward", "input_grad", "weight_grad"])
    print_machine(options)
    print(f"{'shape':<20} {'format':<14} {'pass':<12} {'ms':>8} {'GFLOP/s':>8} {'ratio':>6}")
    ratios = []
    for shape in SHAPES:
        if options.filter not in shape.name:
            continue
        if options.batch:
            shape = shape._replace(batch=options.batch)
        for memory_format in options.formats:
            case = Case(shape, DTYPES[options.dtype], FORMATS[memory_format], options.device)
            for which in options.passes:
                ours, theirs = getattr(case, which), getattr(case, f"torch_{which}")
                name = f"{shape.name} {which}"
                require_close(name, ours(), theirs(torch.float64), options.tf32)
                times = compare(ours, theirs, options.seconds, options.device)
                ratios.append(times.ratio)
                print(
                    f"{shape.name:<20} {memory_format:<14} {which:<12} {times.cnnops * 1e3:8.3f} "
                    f"{case.flops() / times.cnnops / 1e9:8.1f} {times.ratio:6.2f}",
                    flush=True,
                )
    print_geometric_mean(ratios)


if __name__ == "__main__":
    main()
