"""Convolution and pooling for PyTorch on hand-written kernels, as drop-in modules and functions.

Importing the package loads the operators into ``torch.ops.cnnops``.
"""

from . import _library, autograd, functional, models, modules
from ._explain import explain
from ._flags import flags
from .conversion import convert, revert
from .modules import AvgPool2d, Conv2d, ConvTranspose2d, L2Pool2d, LPPool2d, MaxPool2d
from .version import __version__

__all__ = [
    "AvgPool2d",
    "Conv2d",
    "ConvTranspose2d",
    "L2Pool2d",
    "LPPool2d",
    "MaxPool2d",
    "__version__",
    "autograd",
    "convert",
    "explain",
    "flags",
    "functional",
    "models",
    "modules",
    "revert",
]
