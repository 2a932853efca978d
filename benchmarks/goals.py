"""Holds saved results against the goals of speed: python -m benchmarks.goals FILE.json ...

Prints a Markdown table for each setting in the files. A goal is a geometric mean of ratios, torch's
time over cnnops' time, for each memory format, and a worst ratio; every distinct shape counts once.
Below it stand the cases that are slower than torch, and how near the peak of the machine both sides
come where a goal is missed: what is left to be gained.
"""

import argparse
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from . import denormals
from .markdown import squeeze, table
from .network import OF_HOLLOW
from .results import Row, geometric_mean, load
from .shapes import SAVINGS

NOISE = 0.05  # of a ratio; what is slower by less counts as a tie
SLOWEST = 20  # cases that are listed


class Goal(NamedTuple):
    """For a pass of a kind of cases."""

    kind: str
    which: str
    contiguous: float
    channels_last: float
    worst: float
    dtypes: tuple[str, ...] = ("float32",)
    saving: float = 1  # the definition's multiplications over those of the best algorithm


def _goals(kind: str, passes: str, *figures, **options) -> list[Goal]:
    return [Goal(kind, which, *figures, **options) for which in passes.split()]


CONV = "forward input_grad weight_grad"
HALF = ("bfloat16", "float16")
GOALS = [
    *_goals("3x3 stride 1", "forward input_grad", 3.0, 3.3, 1.8, saving=SAVINGS[3, 1]),
    *_goals("3x3 stride 1", "weight_grad", 2.8, 3.0, 1.5, saving=SAVINGS[3, 1]),
    *_goals("5x5 stride 1", CONV, 2.0, 2.0, 1.2, saving=SAVINGS[5, 1]),
    *_goals("3x3 stride 2", CONV, 1.4, 1.4, 1.0, saving=SAVINGS[3, 2]),
    *_goals("1x1", CONV, 2.0, 1.1, 1.0),
    *_goals("at most 3 input channels", "forward", 2.5, 1.5, 1.0),
    *_goals("at most 3 input channels", "input_grad", 5.0, 5.0, 1.0),
    *_goals("at most 3 input channels", "weight_grad", 2.5, 2.0, 1.0),
    *_goals("depthwise 3x3", CONV, 3.0, 1.3, 1.0),
    *_goals("max pooling", "forward backward training", 12.0, 2.8, 1.3),
    *_goals("average pooling", "forward backward training", 12.0, 2.8, 1.3),
    *_goals("L2 pooling", "forward backward training", 12.0, 6.0, 3.0),
    *_goals("3x3 stride 1", CONV, 8.0, 8.0, 4.0, dtypes=HALF, saving=SAVINGS[3, 1]),
    *_goals("tiny call", "forward training", 1.0, 1.0, 0.8),
    *_goals("network", "step", 1.8, 1.8, 1.8),
]
COLUMNS = {"contiguous": "NCHW", "channels_last": "channels_last"}  # by memory format
HEADER = ("operation, pass", "cases", "NCHW", "goal", "channels_last", "goal", "worst", "goal")
BOUND_HEADER = (
    *("goal missed", "NCHW: cnnops", "torch", "limit"),
    *("channels_last: cnnops", "torch", "limit", "cases below"),
)
BOUND_TEXT = """\
What is left where a goal is missed: the fractions of the machine's peak that both sides reach (of
multiply-adds; of copy bandwidth for poolings and depthwise convolutions), and the ratio's limit:
at that peak, with no multiplication more than Winograd's algorithms need. Means of all cases; last,
how many are below the mean's goal."""
REACHED_TEXT = """\
Reached: "bound" where every figure that misses its goal has a limit below the goal, by the
machine's peak or by the bare work, where it was timed; both stand below. A limit that a case
itself exceeds is none: caches exceed the bandwidth of memory, and torch's matrix products are slow
on some processors. Else the means and the number of cases that miss their goals without a limit."""
BARE_HEADER = (
    *("operation, pass", "NCHW: bare / cnnops", "limit"),
    *("channels_last: bare / cnnops", "limit"),
)
BARE_TEXT = """\
What the bare work takes: a convolution's matrix products alone, by torch's matrix product on
operands that lie at their best (`benchmarks/products.py`); a pooling's or a depthwise convolution's
movement of memory alone, by torch's sums of all operands and results full of zeros
(`benchmarks/bare.py`). Its time over that of cnnops' whole pass, and the ratio's limit, which a
pass of this work and nothing else would reach. Means of all cases."""
BARE = ("products", "movement")  # benchmarks


def page(rows: Sequence[Row]) -> str:
    """The tables of all settings, one below the other."""
    settings = dict.fromkeys(row.setting for row in rows)
    parts = [_section(s, [row for row in rows if row.setting == s]) for s in settings]
    return "\n\n".join(part for part in [*parts, _denormals(rows)] if part)


class Limits(NamedTuple):
    """What ratios are limited by."""

    shares: dict[tuple, float]  # the time of the bare work over that of a pass, by case
    steps: dict[tuple[str, str], float]  # ratios of networks' steps by products, by name and format

    @classmethod
    def of(cls, rows: list[Row]) -> "Limits":
        steps = [row for row in rows if row.which == "products"]
        return cls(
            {row.case[1:]: row.ratio for row in rows if row.benchmark in BARE},
            {(row.name, row.memory_format): row.ratio for row in steps},
        )

    def ratio(self, goal: Goal, row: Row) -> float:
        """The least limit that the case does not exceed itself."""
        limits = [self.by_bare_work(row)]
        if goal.kind == "network":
            limits = [self.steps.get((row.name, row.memory_format), math.inf)]
        if _has_peak(goal, row):
            limits.append(_by_peak(goal, row))
        return min(
            (limit for limit in limits if limit >= row.ratio * (1 - NOISE)), default=math.inf
        )

    def by_bare_work(self, row: Row) -> float:
        share = self.shares.get(row.case[1:])
        return row.ratio / share if share else math.inf


def _by_peak(goal: Goal, row: Row) -> float:
    """The limit of a ratio at the machine's peak."""
    return goal.saving * row.ratio / row.fraction


def _has_peak(goal: Goal, row: Row) -> bool:
    return bool(row.unit) and goal.kind not in ("tiny call", "network")


def _section(setting: str, rows: list[Row]) -> str:
    """The goals that have rows, and what is slower than torch."""
    limits = Limits.of(rows)
    rows = [row for row in rows if _is_case(row)]
    held = [(goal, chosen) for goal in GOALS if (chosen := [r for r in rows if _is_of(r, goal)])]
    if not held:
        return ""
    lines = [_line(goal, chosen, limits) for goal, chosen in held]
    header = (*HEADER, "worst case", "reached")
    parts = [f"### {setting}", table(header, lines), REACHED_TEXT, _slower(rows)]
    parts += [_bounds(held, limits), _bare(held, limits)]
    return "\n\n".join(part for part in parts if part)


def _is_case(row: Row) -> bool:
    """Whether the row is cnnops beside torch, on ordinary inputs."""
    return row.benchmark not in ("denormals", *BARE) and row.which not in OF_HOLLOW


def _is_of(row: Row, goal: Goal) -> bool:
    return (row.kind, row.which) == (goal.kind, goal.which) and row.dtype in goal.dtypes


def _line(goal: Goal, rows: list[Row], limits: Limits) -> list[str]:
    means = {
        memory_format: geometric_mean(row.ratio for row in of_format)
        for memory_format, of_format in _by_format(rows).items()
    }
    worst = min(rows, key=lambda row: row.ratio)
    cells = [f"{goal.kind}, {goal.which}", str(len({row.name for row in rows}))]
    for memory_format in COLUMNS:
        mean = means.get(memory_format)
        cells += [f"{mean:.2f}" if mean else "-", f"{getattr(goal, memory_format):.1f}"]
    cells += [f"{worst.ratio:.2f}", f"{goal.worst:.1f}", f"{worst.name}, {worst.memory_format}"]
    return [*cells, _status(goal, rows, limits)]


def _status(goal: Goal, rows: list[Row], limits: Limits) -> str:
    means = [
        (memory_format, of_format)
        for memory_format, of_format in _by_format(rows).items()
        if geometric_mean(row.ratio for row in of_format) < getattr(goal, memory_format)
    ]
    cases = [row for row in rows if row.ratio < goal.worst]
    if not means and not cases:
        return "yes"
    open_ones = [
        f"{COLUMNS[memory_format]} mean"
        for memory_format, of_format in means
        if geometric_mean(limits.ratio(goal, r) for r in of_format) >= getattr(goal, memory_format)
    ]
    open_cases = sum(limits.ratio(goal, row) >= goal.worst for row in cases)
    open_ones += [f"{open_cases} of {len(rows)} cases"] if open_cases else []
    return f"**no**: {', '.join(open_ones)}" if open_ones else "bound"


def _by_format(rows: list[Row]) -> dict[str, list[Row]]:
    formats = dict.fromkeys(row.memory_format for row in rows)
    return {name: [row for row in rows if row.memory_format == name] for name in formats}


def _bounds(held: list[tuple[Goal, list[Row]]], limits: Limits) -> str:
    """How near the peak both sides are where a goal is missed."""
    lines = [
        _bound(goal, rows)
        for goal, rows in held
        if _has_peak(goal, rows[0]) and _status(goal, rows, limits) != "yes"
    ]
    return f"{BOUND_TEXT}\n\n{table(BOUND_HEADER, lines)}" if lines else ""


def _bound(goal: Goal, rows: list[Row]) -> list[str]:
    def figures(of_format: list[Row]) -> list[str]:
        ours = geometric_mean(row.fraction for row in of_format)
        theirs = geometric_mean(row.fraction / row.ratio for row in of_format)
        limit = geometric_mean(_by_peak(goal, row) for row in of_format)
        return [f"{ours:.0%}", f"{theirs:.0%}", f"{limit:.1f}"]

    below = sum(row.ratio < getattr(goal, row.memory_format) for row in rows)
    cells = _cells(rows, figures, empty=["-", "-", "-"])
    return [f"{goal.kind}, {goal.which}", *cells, f"{below} of {len(rows)}"]


def _bare(held: list[tuple[Goal, list[Row]]], limits: Limits) -> str:
    """How near passes are to their bare work."""

    def figures(of_format: list[Row]) -> list[str]:
        share = geometric_mean(limits.shares[row.case[1:]] for row in of_format)
        limit = geometric_mean(limits.by_bare_work(row) for row in of_format)
        return [f"{share:.0%}", f"{limit:.2f}"]

    lines = [
        [f"{goal.kind}, {goal.which}", *_cells(timed, figures, empty=["-", "-"])]
        for goal, rows in held
        if (timed := [row for row in rows if row.case[1:] in limits.shares])
    ]
    return f"{BARE_TEXT}\n\n{table(BARE_HEADER, lines)}" if lines else ""


def _cells(
    rows: list[Row], figures: Callable[[list[Row]], list[str]], empty: list[str]
) -> list[str]:
    """The figures of each format's rows, side by side."""
    by_format = _by_format(rows)
    return [
        cell
        for memory_format in COLUMNS
        for cell in (figures(by_format[memory_format]) if memory_format in by_format else empty)
    ]


def _slower(rows: list[Row]) -> str:
    """How many cases are slower than torch by more than noise, and which most."""
    slower = sorted((r for r in rows if r.ratio < 1 - NOISE), key=lambda row: row.ratio)
    if not slower:
        return f"None of {len(rows)} cases is slower than torch by more than {NOISE:.0%}."
    named = "; ".join(
        f"{row.name} {row.which} {row.memory_format} {row.ratio:.2f}" for row in slower[:SLOWEST]
    )
    rest = f"; and {len(slower) - SLOWEST} more" if len(slower) > SLOWEST else ""
    return (
        f"{len(slower)} of {len(rows)} cases are slower than torch by more than {NOISE:.0%}: "
        f"{named}{rest}."
    )


def _denormals(rows: Iterable[Row]) -> str:
    slow_downs = denormals.slow_downs([row for row in rows if row.benchmark == "denormals"])
    if not slow_downs:
        return ""
    lines = [
        [f"{row.which}, {row.memory_format}, {row.setting}", f"{ours:.2f}", f"{theirs:.2f}"]
        for row, ours, theirs in slow_downs
    ]
    header = (f"{denormals.SHAPE}", "cnnops", "torch")
    return f"### Time on denormal inputs over time on ordinary ones\n\n{table(header, lines)}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("files", nargs="+", type=Path, help="JSON files of --save")
    parser.add_argument("--output", type=Path, help="write the tables into this file as well")
    options = parser.parse_args(arguments)
    text = page([row for path in options.files for row in load(path).rows])
    print(text)
    if options.output:
        options.output.write_text(squeeze(text) + "\n")


if __name__ == "__main__":
    main()
