"""Holds saved results against the goals of speed: python -m benchmarks.goals FILE.json ...

Prints a Markdown table for each setting in the files. A goal is a geometric mean of ratios, torch's
time over cnnops' time, for each memory format, and a worst ratio; every distinct shape counts once.
Below it stand the cases that are slower than torch.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from . import denormals
from .markdown import squeeze, table
from .results import Row, geometric_mean, load

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


def _goals(kind: str, passes: str, *figures, **options) -> list[Goal]:
    return [Goal(kind, which, *figures, **options) for which in passes.split()]


CONV = "forward input_grad weight_grad"
HALF = ("bfloat16", "float16")
GOALS = [
    *_goals("3x3 stride 1", "forward input_grad", 3.0, 3.3, 1.8),
    *_goals("3x3 stride 1", "weight_grad", 2.8, 3.0, 1.5),
    *_goals("5x5 stride 1", CONV, 2.0, 2.0, 1.2),
    *_goals("3x3 stride 2", CONV, 1.4, 1.4, 1.0),
    *_goals("1x1", CONV, 2.0, 1.1, 1.0),
    *_goals("at most 3 input channels", "forward", 2.5, 1.5, 1.0),
    *_goals("at most 3 input channels", "input_grad", 5.0, 5.0, 1.0),
    *_goals("at most 3 input channels", "weight_grad", 2.5, 2.0, 1.0),
    *_goals("depthwise 3x3", CONV, 3.0, 1.3, 1.0),
    *_goals("max pooling", "forward backward training", 12.0, 2.8, 1.3),
    *_goals("average pooling", "forward backward training", 12.0, 2.8, 1.3),
    *_goals("L2 pooling", "forward backward training", 12.0, 6.0, 3.0),
    *_goals("3x3 stride 1", CONV, 8.0, 8.0, 4.0, dtypes=HALF),
    *_goals("tiny call", "forward training", 1.0, 1.0, 0.8),
    *_goals("network", "step", 1.8, 1.8, 1.8),
]
HEADER = ("operation, pass", "cases", "NCHW", "goal", "channels_last", "goal", "worst", "goal")


def page(rows: Sequence[Row]) -> str:
    """The tables of all settings, one below the other."""
    settings = dict.fromkeys(row.setting for row in rows)
    parts = [_section(s, [row for row in rows if row.setting == s]) for s in settings]
    return "\n\n".join(part for part in [*parts, _denormals(rows)] if part)


def _section(setting: str, rows: list[Row]) -> str:
    """The goals that have rows, and what is slower than torch."""
    rows = [row for row in rows if row.benchmark != "denormals"]
    lines = [
        _line(goal, chosen) for goal in GOALS if (chosen := [r for r in rows if _is_of(r, goal)])
    ]
    if not lines:
        return ""
    header = (*HEADER, "worst case", "reached")
    return f"### {setting}\n\n{table(header, lines)}\n\n{_slower(rows)}"


def _is_of(row: Row, goal: Goal) -> bool:
    return (row.kind, row.which) == (goal.kind, goal.which) and row.dtype in goal.dtypes


def _line(goal: Goal, rows: list[Row]) -> list[str]:
    means = {
        memory_format: geometric_mean(r.ratio for r in rows if r.memory_format == memory_format)
        for memory_format in dict.fromkeys(row.memory_format for row in rows)
    }
    worst = min(rows, key=lambda row: row.ratio)
    cells = [f"{goal.kind}, {goal.which}", str(len({row.name for row in rows}))]
    for memory_format in ("contiguous", "channels_last"):
        mean = means.get(memory_format)
        cells += [f"{mean:.2f}" if mean else "-", f"{getattr(goal, memory_format):.1f}"]
    cells += [f"{worst.ratio:.2f}", f"{goal.worst:.1f}", f"{worst.name}, {worst.memory_format}"]
    reached = worst.ratio >= goal.worst and all(
        mean >= getattr(goal, memory_format) for memory_format, mean in means.items()
    )
    return [*cells, "yes" if reached else "**no**"]


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
