"""Convolution modules: torch.nn's with another forward."""

import torch
from torch import Tensor
from torch.nn.modules.utils import _pair

from .. import functional
from .._arguments import NAMED_PADDINGS, conv2d_padding

__all__ = ["Conv2d", "ConvTranspose2d"]


class Conv2d(torch.nn.Conv2d):
    """``torch.nn.Conv2d`` on the kernels of cnnops, with two more paddings.

    Arguments, initialisation, parameters, state_dict and repr are those of ``torch.nn.Conv2d``.
    ``padding`` may also be 'full' (every overlap of kernel and image), and 'same' goes with a
    stride (the output has ceil(H / stride) rows, an odd row of padding is the last one).

    Shape: (N, C, H, W) to (N, K, P, Q), or both without N; see ``cnnops.functional.conv2d``.
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode="zeros",
        device=None,
        dtype=None,
    ) -> None:
        if isinstance(padding, str) and padding not in NAMED_PADDINGS:
            raise ValueError(
                "Conv2d: padding must be an int, a tuple of two ints, 'valid', 'same' or 'full', "
                f"got {padding!r}"
            )
        # torch.nn.Conv2d takes neither 'full' nor a strided 'same': it is given 'valid' for them,
        # which changes none of the parameters.
        known_to_torch = padding != "full" and (padding != "same" or _pair(stride) == (1, 1))
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding if known_to_torch else "valid",
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        self.padding = padding if isinstance(padding, str) else self.padding

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            top, bottom, left, right = conv2d_padding(
                padding, input.shape, weight.shape, self.stride, self.dilation
            )
            input = torch.nn.functional.pad(
                input, (left, right, top, bottom), mode=self.padding_mode
            )
            padding = 0
        return functional.conv2d(
            input, weight, bias, self.stride, padding, self.dilation, self.groups
        )


class ConvTranspose2d(torch.nn.ConvTranspose2d):
    """``torch.nn.ConvTranspose2d`` on the kernels of cnnops.

    Arguments, initialisation, parameters, state_dict and repr are those of
    ``torch.nn.ConvTranspose2d``.

    Shape: (N, C, H, W) to (N, K, P, Q), or both without N; see
    ``cnnops.functional.conv_transpose2d``.
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Runs the forward pass; output_size chooses among the sizes that stride > 1 allows."""
        if self.padding_mode != "zeros":
            raise ValueError(
                f"ConvTranspose2d: padding_mode must be 'zeros', got {self.padding_mode!r}"
            )
        output_padding = self._output_padding(
            input, output_size, self.stride, self.padding, self.kernel_size, 2, self.dilation
        )
        return functional.conv_transpose2d(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            tuple(output_padding),
            self.groups,
            self.dilation,
        )
