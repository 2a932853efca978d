"""Runs a model or a function once and notes its convolution and pooling operators."""

from collections.abc import Callable, Iterable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from ._costs import Call, describe

Calls = tuple[tuple[str, Call], ...]
TorchCalls = tuple[tuple[str, str], ...]


def record_function(function: Callable, args: tuple, kwargs: dict) -> tuple[Calls, TorchCalls]:
    """What a call runs on cnnops, described, and on torch, by name; each after its module."""
    return _record(_Recorder(), function, args, kwargs)


def record_model(model: torch.nn.Module, args: tuple, kwargs: dict) -> tuple[Calls, TorchCalls]:
    """What a model runs in eval mode, like record_function; leaves the model as it was."""
    recorder = _Recorder()
    training = {module: module.training for module in model.modules()}
    hooks = [
        hook for name, module in model.named_modules() for hook in recorder.follow(name, module)
    ]
    model.eval()
    try:
        return _record(recorder, model, args, kwargs)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in training.items():
            module.training = mode


def _record(recorder, function, args, kwargs):
    with torch.no_grad(), recorder:
        function(*args, **kwargs)
    return tuple(recorder.calls), tuple(recorder.torch_calls)


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls = []
        self.torch_calls = []
        self._running = [""]

    def follow(self, name: str, module: torch.nn.Module) -> Iterable[RemovableHandle]:
        """Makes a module say when it starts and ends; yields the hooks."""

        def enter(*_):
            self._running.append(name)

        def leave(*_):
            self._running.pop()

        yield module.register_forward_pre_hook(enter)
        yield module.register_forward_hook(leave, always_call=True)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        namespace, name = func._schema.name.split("::")
        if namespace == "cnnops":
            call = describe(name, args, result)
            if call is not None:
                self.calls.append((self._running[-1], call))
        elif "convolution" in name or "pool" in name:
            self.torch_calls.append((self._running[-1], name))
        return result
