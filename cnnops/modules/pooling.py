"""Pooling modules: torch.nn's with another forward, and L2 pooling."""

import torch
from torch import Tensor

from .. import functional

__all__ = ["AvgPool2d", "L2Pool2d", "LPPool2d", "MaxPool2d"]


class MaxPool2d(torch.nn.MaxPool2d):
    """``torch.nn.MaxPool2d`` on the kernels of cnnops; see ``cnnops.functional.max_pool2d``."""

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, C, H, W) to (N, C, P, Q), or both without N; with return_indices to two of them."""
        return functional.max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class AvgPool2d(torch.nn.AvgPool2d):
    """``torch.nn.AvgPool2d`` on the kernels of cnnops; see ``cnnops.functional.avg_pool2d``."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, P, Q), or both without N."""
        return functional.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class LPPool2d(torch.nn.LPPool2d):
    """``torch.nn.LPPool2d`` on the kernels of cnnops; see ``cnnops.functional.lp_pool2d``."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, P, Q), or both without N."""
        return functional.lp_pool2d(
            input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode
        )


class L2Pool2d(torch.nn.Module):
    """The Euclidean norm of every window: LPPool2d(2, ...) with padding.

    Args: see ``cnnops.functional.l2_pool2d``.
    """

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, P, Q), or both without N."""
        return functional.l2_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"ceil_mode={self.ceil_mode}"
        )
