"""LeNet-5, the digit reader of LeCun, Bottou, Bengio and Haffner (1998), section II.B."""

import torch
from torch import nn

from ..modules import AvgPool2d, Conv2d


class LeNet5(nn.Module):
    """LeNet-5 for 32x32 images: input (N, in_channels, 32, 32), output logits (N, num_classes).

    ===== ========================= ============ ==================================
    layer what                      output       parameters (in_channels = 1)
    ===== ========================= ============ ==================================
    c1    5x5 convolution, tanh      6 @ 28x28   6 * (25 + 1)            =    156
    s2    2x2 average pooling        6 @ 14x14   0
    c3    5x5 convolution, tanh     16 @ 10x10   16 * (6 * 25 + 1)       =  2,416
    s4    2x2 average pooling       16 @ 5x5     0
    c5    5x5 convolution, tanh    120 @ 1x1     120 * (16 * 25 + 1)     = 48,120
    f6    linear, tanh              84           84 * (120 + 1)          = 10,164
    output linear                   10           10 * (84 + 1)           =    850
    ===== ========================= ============ ==================================

    Together 61,706 parameters for ten classes of grey images. It keeps the shape of the paper and
    differs in four details: c3 is connected to all six maps instead of the paper's hand-picked
    table, the subsampling layers have no trainable scale and bias, tanh is not rescaled to
    1.7159 tanh(2x/3), and a linear layer replaces the radial basis functions of the output.
    """

    def __init__(self, in_channels: int = 1, num_classes: int = 10) -> None:
        super().__init__()
        self.c1 = Conv2d(in_channels, 6, 5)
        self.s2 = AvgPool2d(2)
        self.c3 = Conv2d(6, 16, 5)
        self.s4 = AvgPool2d(2)
        self.c5 = Conv2d(16, 120, 5)
        self.f6 = nn.Linear(120, 84)
        self.output = nn.Linear(84, num_classes)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if input.dim() != 4 or input.shape[2:] != (32, 32):
            raise ValueError(
                f"lenet5: input expected shape (N, C, 32, 32), got {tuple(input.shape)}"
            )
        out = self.s2(torch.tanh(self.c1(input)))
        out = self.s4(torch.tanh(self.c3(out)))
        out = torch.tanh(self.c5(out)).flatten(1)
        out = torch.tanh(self.f6(out))
        return self.output(out)


def lenet5(in_channels: int = 1, num_classes: int = 10) -> LeNet5:
    """LeNet-5 for 32x32 images, see :class:`LeNet5`."""
    return LeNet5(in_channels, num_classes)
