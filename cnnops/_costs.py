"""What one operator call costs: the algorithm, workspace, FLOPs and bytes of each of its passes.

FLOPs of a convolution pass are 2 N K P Q (C / groups) kH kW, whichever pass it is: every product
with its addition once, padding included. A pooling pass counts one operation for every sample of
every window (two for Lp pooling: power and sum). Bytes are what a pass has to read and write once,
its compulsory memory traffic.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ._flop_counter import convolution_flops


@dataclass(frozen=True)
class Pass:
    """One computation: "forward", "input_grad" or "weight_grad"."""

    name: str
    algorithm: str
    workspace_bytes: int
    flops: int
    bytes: int


@dataclass(frozen=True)
class Call:
    """One call of an operator, and what it and its gradients run."""

    operator: str
    input_size: tuple[int, ...]
    weight_size: tuple[int, ...] | None
    output_size: tuple[int, ...]
    kernel_size: tuple[int, int]
    dtype: torch.dtype
    memory_format: str
    instruction_set: str
    passes: tuple[Pass, ...]


def describe(operator: str, args: tuple, result: Tensor | tuple[Tensor, Tensor]) -> Call | None:
    """Describes a call of torch.ops.cnnops.<operator>; None if it computes no output of a layer."""
    if operator not in _COSTS:
        return None
    output = result[0] if isinstance(result, tuple) else result
    input = args[0]
    weight_size, kernel_size, passes = _COSTS[operator](args, output)
    return Call(
        operator=operator.removesuffix("_with_offsets"),
        input_size=tuple(input.shape),
        weight_size=weight_size,
        output_size=tuple(output.shape),
        kernel_size=kernel_size,
        dtype=input.dtype,
        memory_format="channels_last" if _is_channels_last(output) else "contiguous",
        instruction_set=_instruction_set(input.device),
        passes=passes,
    )


def _instruction_set(device):
    if device.type == "cuda":
        return f"sm_{_cuda_capability(device)}"
    return torch.ops.cnnops._cpu_capability()


def _cuda_capability(device):
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


def _is_channels_last(tensor):
    return tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()


# The functions in _COSTS give weight_size, kernel_size and passes of a call.
def _conv2d(args, output):
    input, weight, bias, *geometry = args
    return _convolution(
        ("forward", "input_grad", "weight_grad"), input, weight, bias, output, geometry
    )


def _conv_transpose2d(args, output):
    """The convolution whose input gradient this is runs it; its own forward is the gradient."""
    input, weight, bias, *geometry = args
    return _convolution(
        ("input_grad", "forward", "weight_grad"), output, weight, bias, input, geometry
    )


def _convolution(names, large, weight, bias, small, geometry):
    """Costs of the convolution from the large to the small map.

    names are the planned computations that give the forward, input_grad and weight_grad passes.
    """
    weight_size = tuple(weight.shape)
    flops = convolution_flops(small.shape, weight_size)
    item = large.element_size()
    traffic = (large.numel() + weight.numel() + small.numel()) * item
    bias_traffic = 0 if bias is None else bias.numel() * item
    passes = []
    for name, planned in zip(("forward", "input_grad", "weight_grad"), names, strict=True):
        algorithms, workspaces = _conv2d_plan(
            large.device,
            planned,
            large.shape,
            weight_size,
            *geometry,
            large.dtype,
            _is_channels_last(small) or _is_channels_last(large),
        )
        moved = traffic + (bias_traffic if name == "forward" else 0)
        passes.append(Pass(name, algorithms[0], workspaces[0], flops, moved))
    return weight_size, weight_size[2:], tuple(passes)


def _conv2d_plan(device, *problem):
    if device.type == "cuda":
        return torch.ops.cnnops._cuda_conv2d_plan(*problem, _cuda_capability(device))
    return torch.ops.cnnops._conv2d_plan(*problem)


def _pooling(operations, window, backward_bytes):
    """Costs of a pooling that does so many operations for a sample under a window.

    window(*arguments behind the input) gives kernel_size, stride, padding, dilation and ceil_mode;
    backward_bytes(input, output, kernel_size) counts what its backward pass reads and writes.
    """

    def costs(args, output):
        input, *rest = args
        geometry = window(*rest)
        kernel_size = tuple(geometry[0])
        flops = operations * output.numel() * kernel_size[0] * kernel_size[1]
        forward_bytes = (input.numel() + output.numel()) * input.element_size()
        workspace = 0  # on a GPU every pooling kernel computes as it goes
        if input.device.type != "cuda":
            workspace = torch.ops.cnnops._pool2d_workspace(
                input.shape, *geometry, input.dtype, _is_channels_last(output)
            )
        moved = backward_bytes(input, output, kernel_size)
        passes = (
            Pass("forward", "window", workspace, flops, forward_bytes),
            Pass("input_grad", "window", workspace, flops, moved),
        )
        return None, kernel_size, passes

    return costs


def _max_window(kernel_size, stride, padding, dilation, ceil_mode):
    return kernel_size, stride, padding, dilation, ceil_mode


def _avg_window(kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    return kernel_size, stride, padding, (1, 1), ceil_mode


def _lp_window(norm_type, kernel_size, stride, padding, ceil_mode):
    return kernel_size, stride, padding, (1, 1), ceil_mode


def _max_backward_bytes(input, output, kernel_size):
    offset = 1 if kernel_size[0] * kernel_size[1] <= 256 else 4
    return input.numel() * input.element_size() + output.numel() * (output.element_size() + offset)


def _avg_backward_bytes(input, output, kernel_size):
    return (input.numel() + output.numel()) * input.element_size()


def _lp_backward_bytes(input, output, kernel_size):
    return 2 * (input.numel() + output.numel()) * input.element_size()


_COSTS = {
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "max_pool2d": _pooling(1, _max_window, _max_backward_bytes),
    "max_pool2d_with_offsets": _pooling(1, _max_window, _max_backward_bytes),
    "avg_pool2d": _pooling(1, _avg_window, _avg_backward_bytes),
    "lp_pool2d": _pooling(2, _lp_window, _lp_backward_bytes),
}
