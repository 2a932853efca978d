"""The operators as modules: torch.nn's, running on the kernels of cnnops."""

from .conv import Conv2d, ConvTranspose2d
from .pooling import AvgPool2d, L2Pool2d, LPPool2d, MaxPool2d

__all__ = ["AvgPool2d", "Conv2d", "ConvTranspose2d", "L2Pool2d", "LPPool2d", "MaxPool2d"]
