"""Small convolutional networks built from cnnops' own modules.

``cnnops.revert(model)`` turns any of them into the same network on torch's kernels: the
parameters, the initialisation and the state_dict are those of ``torch.nn``'s modules.
"""

from .cifar import CifarPlain, CifarResNet, plain8, resnet20
from .lenet5 import LeNet5, lenet5

__all__ = ["CifarPlain", "CifarResNet", "LeNet5", "lenet5", "plain8", "resnet20"]
