"""How a call reaches an operator: past autograd when nothing is differentiated, else recorded.

Autograd formulas written in Python cost several times the call of a small operator. So operators
that networks call have theirs in C++ as well (csrc/autograd.cpp), and those in Python are entered
only by calls that need them.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active, _AutoDispatchBelowAutograd
from torch._ops import OpOverload
from torch.autograd import Function, forward_ad
from torch.compiler import is_compiling

_FUNCTIONS: dict[OpOverload, type[Function]] = {}
_RECORDED_IN_CPP: set[OpOverload] = set()


def runs(operator: OpOverload) -> Callable[[type[Function]], type[Function]]:
    """Gives an autograd.Function a forward that runs an operator whose formula C++ registers.

    The class brings setup_context and backward; its arguments are those of the operator's schema.
    """

    def complete(function: type[Function]) -> type[Function]:
        _complete(operator, function)
        _RECORDED_IN_CPP.add(operator)
        return function

    return complete


def differentiable(operator: OpOverload) -> Callable[[type[Function]], type[Function]]:
    """Like :func:`runs`, and gives the operator the Function's formula."""

    def complete(function: type[Function]) -> type[Function]:
        _complete(operator, function)
        torch.library.register_autograd(
            operator, function.backward, setup_context=function.setup_context
        )
        return function

    return complete


def _complete(operator: OpOverload, function: type[Function]) -> None:
    def forward(*args):
        return run(operator, *args)

    # Function.apply asks for the signature in every call.
    forward.__signature__ = inspect.signature(forward)
    function.forward = staticmethod(forward)
    _FUNCTIONS[operator] = function


def call(operator: OpOverload, tensors: tuple[Tensor | None, ...], *args: Any) -> Any:
    """Runs a differentiable operator; tensors are the first of its arguments."""
    if is_compiling():
        return operator(*tensors, *args)
    if _is_transformed():
        return _FUNCTIONS[operator].apply(*tensors, *args)
    if operator in _RECORDED_IN_CPP:
        return _run_on_kernel(operator, *tensors, *args)
    if is_differentiated(*tensors):
        return _FUNCTIONS[operator].apply(*tensors, *args)
    return run(operator, *tensors, *args)


def is_differentiated(*tensors: Tensor | None) -> bool:
    """Whether autograd has to see a call with these tensors.

    True as well inside torch.func transforms and forward-mode AD, where it is autograd that
    differentiates or says that it cannot.
    """
    if torch.is_grad_enabled():
        for tensor in tensors:
            if tensor is not None and tensor.requires_grad:
                return True
    return not is_compiling() and _is_transformed()


def _is_transformed() -> bool:
    return _are_functorch_transforms_active() or forward_ad._current_level >= 0


def run(operator: OpOverload, *args: Any) -> Any:
    """Runs an operator without recording it for autograd."""
    if is_compiling():
        return operator(*args)
    with _AutoDispatchBelowAutograd():
        return _run_on_kernel(operator, *args)


def _run_on_kernel(operator: OpOverload, *args: Any) -> Any:
    try:
        return operator(*args)
    except NotImplementedError:
        raise NotImplementedError(_no_kernel(operator, args)) from None


def has_kernels(device_type: str) -> bool:
    """Whether the operators run on a type of device; "meta", which computes sizes, is one."""
    key = torch._C._dispatch_key_for_device(device_type)
    return torch._C._dispatch_has_kernel_for_dispatch_key("cnnops::conv2d", key)


def _no_kernel(operator: OpOverload, args: tuple) -> str:
    tensors = [
        f"{argument.name} {str(value.dtype).removeprefix('torch.')} {_storage(value)} on "
        f"{value.device}"
        for argument, value in zip(operator._schema.arguments, args, strict=True)
        if isinstance(value, Tensor)
    ]
    devices = " or ".join(device for device in ("cpu", "cuda") if has_kernels(device))
    return (
        f"{operator._schema.name.removeprefix('cnnops::')}: there is no kernel for these "
        f"tensors, they must be dense and on {devices}, got {', '.join(tensors)}"
    )


def _storage(tensor: Tensor) -> str:
    return "dense" if tensor.layout is torch.strided else str(tensor.layout).removeprefix("torch.")
