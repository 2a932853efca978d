"""Moves the modules of a model from torch's kernels to those of cnnops, and back.

A module of cnnops is torch.nn's with another forward. So a module is converted by giving the very
object the other class: its parameters, hooks, names, training mode and every reference to it stay.
"""

import torch
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils.parametrize import is_parametrized

from ._dispatch import has_kernels
from .modules import AvgPool2d, Conv2d, ConvTranspose2d, L2Pool2d, LPPool2d, MaxPool2d

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)

TWINS = {
    torch.nn.Conv2d: Conv2d,
    torch.nn.ConvTranspose2d: ConvTranspose2d,
    torch.nn.MaxPool2d: MaxPool2d,
    torch.nn.AvgPool2d: AvgPool2d,
    torch.nn.LPPool2d: LPPool2d,
}
_TORCH_CLASSES = {twin: original for original, twin in TWINS.items()}

CNNOPS_MODULES = (*TWINS.values(), L2Pool2d)


def convert(model: torch.nn.Module) -> torch.nn.Module:
    """Runs every supported module of a model on cnnops, in place, and returns the model.

    Supported are torch.nn's Conv2d, ConvTranspose2d, MaxPool2d, AvgPool2d and LPPool2d, the model
    itself included, with float64, float32, bfloat16 or float16 parameters on a device that has
    kernels, or on meta; so convert a model where it is going to run. All else stays torch's;
    ``cnnops.explain(model)`` lists it with the reason.
    """
    for module in _modules("convert", model):
        if obstacle_to_convert(module) is None:
            module.__class__ = TWINS[type(module)]
    return model


def revert(model: torch.nn.Module) -> torch.nn.Module:
    """Runs every module of a model on torch, in place, and returns the model.

    It undoes ``convert`` and turns cnnops' own modules into torch.nn's. What torch.nn does not have
    stays: L2Pool2d, and Conv2d with padding='full' or with padding='same' and a stride; so do
    subclasses of cnnops' modules and parametrized modules.
    """
    for module in _modules("revert", model):
        if isinstance(module, CNNOPS_MODULES) and obstacle_to_revert(module) is None:
            module.__class__ = _TORCH_CLASSES[type(module)]
    return model


def obstacle_to_convert(module: torch.nn.Module) -> str | None:
    """Why a module of torch cannot run on cnnops; None if it can."""
    name = type(module).__name__
    if type(module) not in TWINS:
        if is_parametrized(module):
            return "parametrized; convert before parametrizing"
        if isinstance(module, LazyModuleMixin):
            return "lazy, its parameters do not exist yet"
        if isinstance(module, tuple(TWINS)):
            return f"{name} is a subclass that may have its own code"
        return f"cnnops has no {name}"
    if "forward" in vars(module):
        return "its forward was replaced"
    weight = getattr(module, "weight", None)
    return None if weight is None else _obstacle_of_weight(weight)


def _obstacle_of_weight(weight):
    if weight.dtype not in DTYPES:
        return f"its weight is {str(weight.dtype).removeprefix('torch.')}"
    if not has_kernels(weight.device.type):
        return f"cnnops has no kernels for {weight.device.type} yet"
    return None


def obstacle_to_revert(module: torch.nn.Module) -> str | None:
    """Why a module of cnnops cannot run on torch; None if it can."""
    name = type(module).__name__
    if type(module) not in _TORCH_CLASSES:
        if is_parametrized(module):
            return "parametrized; remove the parametrization first"
        return f"torch.nn has no {name}" if type(module) is L2Pool2d else f"{name} is a subclass"
    if isinstance(module, Conv2d):
        if module.padding == "full":
            return "torch.nn has no padding='full'"
        if module.padding == "same" and module.stride != (1, 1):
            return "torch.nn has no padding='same' with a stride"
    return None


def _modules(function, model):
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"{function}: model must be a torch.nn.Module, got {type(model).__name__}")
    return model.modules()
