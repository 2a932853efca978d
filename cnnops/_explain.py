"""Says what runs on cnnops, and how: algorithm, instruction set, workspace, FLOPs and bytes."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ._costs import Call, Pass
from ._recorder import record_function, record_model
from .conversion import CNNOPS_MODULES, obstacle_to_convert, obstacle_to_revert

__all__ = ["Call", "Layer", "Pass", "Report", "explain"]

_LAYERS = ("torch.nn.modules.conv", "torch.nn.modules.pooling")


@dataclass(frozen=True)
class Layer:
    """A convolution or pooling module of a model.

    runs_on is "cnnops" or "torch"; note says why it stays there, or is empty.
    """

    name: str
    type: str
    runs_on: str
    note: str


@dataclass(frozen=True)
class Report:
    """What explain found; str() lays it out as tables.

    calls pairs each operator call with the name of the module that made it, "" for none.
    torch_calls does so for the convolution and pooling operators of torch that ran.
    """

    layers: tuple[Layer, ...]
    other_modules: dict[str, int]
    calls: tuple[tuple[str, Call], ...]
    torch_calls: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        parts = []
        if self.layers:
            rows = [(x.name or "-", x.type, x.runs_on, x.note) for x in self.layers]
            parts.append(_table(("module", "type", "runs on", "note"), rows))
        if self.calls:
            rows = [row for name, call in self.calls for row in _call_rows(name, call)]
            parts.append(_table(_CALL_HEADER, rows))
        if self.torch_calls:
            rows = [(name or "-", operator) for name, operator in self.torch_calls]
            parts.append(_table(("module", "operator of torch"), rows))
        if self.other_modules:
            counts = ", ".join(f"{count} {name}" for name, count in self.other_modules.items())
            parts.append(f"not convolution or pooling: {counts}")
        return "\n\n".join(parts)


def explain(target: torch.nn.Module | Callable, *args: Any, **kwargs: Any) -> Report:
    """Explains a model, a model with an input, or the call of a function.

    explain(model) lists the convolution and pooling modules, whether they run on cnnops or torch,
    and why. explain(model, input) runs the model once besides, in eval mode and without gradients,
    and lists every operator call with the passes it has. explain(cnnops.functional.conv2d, input,
    weight, ...) runs the call once and does the same for it.

    Returns:
        Report: dataclasses with sizes, dtypes, FLOPs and bytes; print it for a table.
    """
    if not isinstance(target, torch.nn.Module):
        if not callable(target):
            raise TypeError(
                f"explain: target must be a module or a function, got {type(target).__name__}"
            )
        return Report((), {}, *record_function(target, args, kwargs))
    layers, others = [], Counter()
    for name, module in _named_leaves(target):
        if _is_layer(module):
            layers.append(_layer(name, module))
        else:
            others[type(module).__name__] += 1
    calls = record_model(target, args, kwargs) if args or kwargs else ((), ())
    return Report(tuple(layers), dict(others), *calls)


def _named_leaves(model):
    """Modules that compute: those without children, and layers with some (parametrizations)."""
    for name, module in model.named_modules():
        inside_layer = ".parametrizations" in f".{name}"
        if not inside_layer and (_is_layer(module) or not any(module.children())):
            yield name, module


def _is_layer(module):
    return isinstance(module, CNNOPS_MODULES) or any(
        base.__module__ in _LAYERS for base in type(module).__mro__
    )


def _layer(name, module):
    kind = type(module).__name__
    if isinstance(module, CNNOPS_MODULES):
        return Layer(name, kind, "cnnops", obstacle_to_revert(module) or "")
    note = obstacle_to_convert(module) or "supported: cnnops.convert(model)"
    return Layer(name, kind, "torch", note)


_CALL_HEADER = (
    "module", "operator", "input", "output", "dtype", "format", "instructions",
    "pass", "algorithm", "workspace", "work", "traffic",
)  # fmt: skip


def _call_rows(name, call):
    first = (
        name or "-",
        call.operator,
        _size(call.input_size),
        _size(call.output_size),
        str(call.dtype).removeprefix("torch."),
        call.memory_format,
        call.instruction_set,
    )
    for index, step in enumerate(call.passes):
        yield (
            *(first if index == 0 else [""] * len(first)),
            step.name,
            step.algorithm,
            _quantity(step.workspace_bytes, "B"),
            _quantity(step.flops, "FLOP"),
            _quantity(step.bytes, "B"),
        )


def _size(size):
    return "x".join(map(str, size))


def _quantity(count, unit):
    for factor, prefix in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= factor:
            return f"{count / factor:.3g} {prefix}{unit}"
    return f"{count} {unit}"


def _table(header, rows):
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
