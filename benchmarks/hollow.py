"""Networks whose convolutions and poolings compute nothing: what a step costs around them."""

import copy
import functools
from collections.abc import Callable

import torch
from torch import nn

from .networks import LAYERS


def hollow(network: nn.Module) -> nn.Module:
    """Replaces the forward of the layers, in place, and returns the network.

    In place of results and gradients they write zeros: any implementation has to write them.
    """
    for module in network.modules():
        if isinstance(module, LAYERS):
            module.forward = _forward(module)
    return network


def _forward(module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    twin = copy.deepcopy(module).to("meta").float()

    @functools.cache
    def output_size(input_size: torch.Size) -> torch.Size:
        with torch.no_grad():
            return twin(torch.empty(input_size, device="meta")).shape

    return lambda input: _Zeros.apply(output_size(input.shape), input, *module.parameters())


class _Zeros(torch.autograd.Function):
    @staticmethod
    def forward(ctx, size, *operands):
        ctx.save_for_backward(*operands)
        return _zeros(size, operands[0])

    @staticmethod
    def backward(ctx, grad_output):
        wanted = zip(ctx.saved_tensors, ctx.needs_input_grad[1:], strict=True)
        return None, *(_zeros(x.shape, x) if is_wanted else None for x, is_wanted in wanted)


def _zeros(size: torch.Size, like: torch.Tensor) -> torch.Tensor:
    """Of a size, in the dtype and the memory format of another tensor."""
    is_first = like.is_contiguous()
    memory_format = torch.contiguous_format if is_first else torch.channels_last
    options = dict(dtype=like.dtype, device=like.device, memory_format=memory_format)
    return torch.empty(size, **options).zero_()
