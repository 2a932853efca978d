"""Which convolution algorithms may run."""

import contextlib
from collections.abc import Iterable

import torch


class flags(contextlib.ContextDecorator):
    """Forces or forbids convolution algorithms within a ``with`` block or a decorated function.

    Like torch.backends' flags it holds for the whole process, all its threads included. The
    innermost block alone counts; its end, also by an error, brings back what held before.

    Args:
        algorithm: the only algorithm that may run, or None for the default choice. A convolution
            that it does not support is an error.
        exclude: names of algorithms that may not run.

    ``torch.ops.cnnops._conv2d_algorithms()`` lists the names; others raise ValueError.
    """

    def __init__(self, algorithm: str | None = None, exclude: Iterable[str] = ()) -> None:
        self.algorithm = algorithm
        self.exclude = (exclude,) if isinstance(exclude, str) else tuple(exclude)
        known = torch.ops.cnnops._conv2d_algorithms()
        _check_names("algorithm", () if algorithm is None else (algorithm,), known)
        _check_names("exclude", self.exclude, known)
        if algorithm in self.exclude:
            raise ValueError(f"flags: exclude must not hold the algorithm, got {algorithm!r}")
        self._previous = []

    def __enter__(self) -> "flags":
        previous = torch.ops.cnnops._conv2d_set_flags(self.algorithm or "", self.exclude)
        self._previous.append(previous)
        return self

    def __exit__(self, *exception: object) -> None:
        torch.ops.cnnops._conv2d_set_flags(*self._previous.pop())


def _check_names(argument, names, known):
    for name in names:
        if name not in known:
            raise ValueError(f"flags: {argument} must be one of {', '.join(known)}, got {name!r}")
