"""Times the passes of convolutions against torch's (oneDNN, cuDNN): python -m benchmarks.conv2d.

The shapes are those of networks, see shapes.py. Every case is checked against torch in float64
before it is timed.
"""

from collections.abc import Sequence

import torch
from torch.nn.functional import conv2d

from .checks import require_close, tolerance
from .command_line import parse
from .results import Run
from .runner import Setting, run
from .shapes import ConvShape, conv_shapes
from .timing import Call

PASSES = ("forward", "input_grad", "weight_grad")


class Case:
    """One shape's tensors, and each pass on each side.

    Where the layer has a bias, the forward adds it and the weight gradient has its gradient beside.
    """

    def __init__(self, shape: ConvShape, setting: Setting):
        torch.manual_seed(0)
        self.shape = shape
        self.setting = setting
        self.batch = shape.batch
        self.input = self._images(shape.in_channels, shape.size)
        self.grad_output = self._images(shape.out_channels, shape.output_size)
        in_channels = shape.in_channels // shape.groups
        self.weight = self._normal(shape.out_channels, in_channels, shape.kernel, shape.kernel)
        self.bias = self._normal(shape.out_channels) if shape.has_bias else None
        self.geometry = ([shape.stride] * 2, [shape.padding] * 4, [1, 1], shape.groups)

    def _normal(self, *size: int) -> torch.Tensor:
        return torch.randn(size).to(self.setting.device, self.setting.dtype)

    def _images(self, channels: int, size: int) -> torch.Tensor:
        images = self._normal(self.batch, channels, size, size)
        return images.contiguous(memory_format=self.setting.memory_format)

    def sides(self, which: str) -> tuple[Call, Call]:
        return getattr(self, which), getattr(self, f"torch_{which}")

    def verify(self, which: str) -> None:
        ours, theirs = self.sides(which)
        name = f"{self.shape.name} {which}"
        allowed = tolerance(self.setting.dtype, self.setting.tf32)
        for result, expected in zip(_tensors(ours()), _tensors(theirs(torch.float64)), strict=True):
            require_close(name, result, expected, allowed)

    @property
    def unit(self) -> str:
        """A depthwise convolution does too little with a value to be bound by arithmetic."""
        return "GB/s" if self.shape.kind.startswith("depthwise") else "GFLOP/s"

    def work(self, which: str) -> float:
        if self.unit == "GB/s":
            return self.input.nbytes + self.grad_output.nbytes
        return self.batch * self.shape.flops_of_image

    def forward(self):
        return torch.ops.cnnops.conv2d(self.input, self.weight, self.bias, *self.geometry)

    def input_grad(self):
        return torch.ops.cnnops.conv2d_input_grad(
            self.grad_output, self.weight, self.input.shape, *self.geometry
        )

    def weight_grad(self):
        grad = torch.ops.cnnops.conv2d_weight_grad(
            self.grad_output, self.input, self.weight.shape, *self.geometry
        )
        if self.bias is None:
            return grad
        return grad, torch.ops.cnnops.conv2d_bias_grad(self.grad_output)

    def torch_forward(self, dtype: torch.dtype | None = None):
        shape = self.shape
        input, weight, bias = _cast(dtype, self.input, self.weight, self.bias)
        return conv2d(input, weight, bias, shape.stride, shape.padding, 1, shape.groups)

    def torch_input_grad(self, dtype: torch.dtype | None = None):
        return self._torch_backward([True, False, False], dtype)[0]

    def torch_weight_grad(self, dtype: torch.dtype | None = None):
        if self.bias is None:
            return self._torch_backward([False, True, False], dtype)[1]
        return self._torch_backward([False, True, True], dtype)[1:]

    def _torch_backward(self, wanted, dtype):
        operands = _cast(dtype, self.grad_output, self.input, self.weight)
        bias_size = [self.shape.out_channels]
        stride, padding = [self.shape.stride] * 2, [self.shape.padding] * 2
        return torch.ops.aten.convolution_backward(
            *operands, bias_size, stride, padding, [1, 1], False, [0, 0], self.shape.groups, wanted
        )


def _cast(dtype, *operands):
    """The operands as they are, or in another dtype."""
    return [x if x is None or dtype is None else x.to(dtype) for x in operands]


def _tensors(result):
    return result if isinstance(result, tuple) else (result,)


def main(arguments: Sequence[str] | None = None) -> Run:
    options = parse(__doc__.split(":")[0], PASSES, arguments)
    shapes = conv_shapes()
    if options.batch:
        shapes = [shape._replace(batch=options.batch) for shape in shapes]
    return run(options, "conv2d", shapes, Case)


if __name__ == "__main__":
    main()
