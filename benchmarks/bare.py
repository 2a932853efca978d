"""Passes beside their bare work: what they cannot do without, computed or moved by torch alone."""

from collections.abc import Mapping
from typing import NamedTuple

import torch

from . import runner
from .timing import Call


class Movement(NamedTuple):
    """Of memory: what is read and what is written, each once; a call moves it."""

    operands: list[torch.Tensor]
    results: list[torch.Tensor]

    def __add__(self, other: "Movement") -> "Movement":
        return Movement(self.operands + other.operands, self.results + other.results)

    def __call__(self) -> None:
        for operand in self.operands:
            operand.sum()
        for result in self.results:
            torch.zeros_like(result)


class Case:
    """Another benchmark's case with the bare work of each of its passes in torch's place."""

    def __init__(self, whole: runner.Case, bare_work: Mapping[str, Call]):
        self.whole = whole
        self.bare_work = bare_work
        self.batch = whole.batch
        self.unit = whole.unit

    def sides(self, which: str) -> tuple[Call, Call]:
        return self.whole.sides(which)[0], self.bare_work[which]

    def verify(self, which: str) -> None:
        self.whole.verify(which)

    def work(self, which: str) -> float:
        return self.whole.work(which)
