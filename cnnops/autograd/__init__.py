"""The operators as torch.autograd.Functions, and the gradient formulas of torch.ops.cnnops.*.

Each Function runs one operator and takes the arguments of its schema, all of them by position
(``print(torch.ops.cnnops.conv2d.default._schema)`` shows them). The same formulas are registered
with the operators, so that ``torch.ops.cnnops.*`` are differentiable by themselves. Gradients are
made of operators with gradients: every one can be differentiated any number of times. Only the
gradients that are asked for are computed, and only what they read is saved.
"""

from .avg_pool2d import AvgPool2dFunction
from .conv2d import Conv2dFunction, ConvTranspose2dFunction
from .lp_pool2d import LPPool2dFunction
from .max_pool2d import MaxPool2dFunction

__all__ = [
    "AvgPool2dFunction",
    "Conv2dFunction",
    "ConvTranspose2dFunction",
    "LPPool2dFunction",
    "MaxPool2dFunction",
]
