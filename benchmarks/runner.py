"""Runs the cases of a benchmark: verifies, times and prints each; saves and draws them all."""

import argparse
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import torch

from . import malloc
from .command_line import DTYPES, FORMATS, tf32_settings
from .machine import Peak, facts, measure_peak
from .plot import plot
from .results import Row, Run, geometric_mean, load
from .timing import Call, compare


class Setting(NamedTuple):
    """How the tensors of a case are stored, where, and whether TF32 may be used; by names."""

    dtype_name: str
    format_name: str
    device: str = "cpu"
    tf32: str = ""

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.dtype_name]

    @property
    def memory_format(self) -> torch.memory_format:
        return FORMATS[self.format_name]


class Case(Protocol):
    """One layer or network with its tensors, in a setting."""

    batch: int
    unit: str  # of the rate: "GFLOP/s" or "GB/s"

    def sides(self, which: str) -> tuple[Call, Call]:
        """A pass on cnnops and on torch."""

    def verify(self, which: str) -> None:
        """Raises SystemExit unless cnnops computes what torch does in float64."""

    def work(self, which: str) -> float:
        """Operations of a pass, or bytes that it has to move."""


class Problem(Protocol):
    """What a case is made for; `case(setting)` makes it."""

    name: str
    kind: str


def run(
    options: argparse.Namespace,
    benchmark: str,
    problems: Iterable[Problem],
    make: Callable[[Any, Setting], Case],
) -> Run:
    """Times every pass of the problems that the options choose, make(problem, setting) each."""
    problems = [problem for problem in problems if chosen(options, problem)]
    if not problems:
        raise SystemExit(f"--filter: no case of {benchmark} holds {' or '.join(options.filter)}")
    result = Run(facts(options.device, options.command), [])
    print("\n".join(f"{name + ':':<10}{fact}" for name, fact in result.facts.items()))
    peaks = _peaks(options)
    columns = _columns(options, problems)
    print("\n" + "  ".join(column.header() for column in columns))
    for row in _rows(options, benchmark, problems, make, peaks):
        result.rows.append(row)
        print("  ".join(column.cell(row) for column in columns), flush=True)
    _print_means(result.rows)
    if options.save:
        result.save(options.save)
    if options.plot:
        plot(result, options.plot)
    return result


def chosen(options: argparse.Namespace, problem: Problem) -> bool:
    """Whether --filter lets a problem pass."""
    text = f"{problem.name} {problem.kind}"
    return not options.filter or any(part in text for part in options.filter)


def _peaks(options) -> dict[tuple, Peak]:
    """Of every dtype, TF32 setting and number of threads."""
    peaks = {}
    for dtype in options.dtypes:
        for tf32 in tf32_settings(options, dtype):
            for threads in options.threads:
                _set_threads(threads)
                peak = measure_peak(DTYPES[dtype], options.device)
                peaks[dtype, tf32, threads] = peak
                name = dtype + (f", TF32 {tf32}" if tf32 else f", {threads} threads")
                print(f"peak:     {name}: {peak.gflops:.1f} GFLOP/s, copies {peak.gbytes:.1f} GB/s")
    return peaks


def _set_threads(threads):
    if threads:
        torch.set_num_threads(threads)


def _settings(options) -> Iterator[Setting]:
    """Each in turn, with its TF32 setting made."""
    for dtype in options.dtypes:
        for tf32 in tf32_settings(options, dtype):
            for memory_format in options.formats:
                yield Setting(dtype, memory_format, options.device, tf32)


def _rows(options, benchmark, problems, make, peaks) -> Iterator[Row]:
    for problem in problems:
        for setting in _settings(options):
            _set_threads(max(options.threads))
            case = make(problem, setting)
            for which in options.passes:
                _set_threads(max(options.threads))
                case.verify(which)
                for threads in options.threads:
                    _set_threads(threads)
                    times = compare(*case.sides(which), options.seconds, options.device)
                    yield Row(
                        benchmark=benchmark,
                        name=problem.name,
                        kind=problem.kind,
                        which=which,
                        dtype=setting.dtype_name,
                        memory_format=setting.format_name,
                        tf32=setting.tf32,
                        threads=threads,
                        malloc=malloc.setting() if threads else "",
                        batch=case.batch,
                        seconds=times.cnnops,
                        torch_seconds=times.torch,
                        work=case.work(which),
                        unit=case.unit,
                        peak=peaks[setting.dtype_name, setting.tf32, threads].of(case.unit),
                    )


class Column(NamedTuple):
    """A column of the printed table."""

    title: str
    width: int  # texts stand left where it is negative
    text: Callable[[Row], str]

    def header(self) -> str:
        return self._aligned(self.title)

    def cell(self, row: Row) -> str:
        return self._aligned(self.text(row))

    def _aligned(self, text):
        return text.ljust(-self.width) if self.width < 0 else text.rjust(self.width)


def _columns(options, problems) -> list[Column]:
    """Those that can differ between rows, and the figures."""
    columns = [
        Column("case", -max(len(problem.name) for problem in problems), lambda row: row.name),
        Column("images", 6, lambda row: str(row.batch)),
        Column("format", -13, lambda row: row.memory_format),
        Column("pass", -max(map(len, options.passes)), lambda row: row.which),
    ]
    if len(options.dtypes) > 1:
        columns.append(Column("dtype", -8, lambda row: row.dtype))
    if options.device != "cpu":
        columns.append(Column("TF32", -4, lambda row: row.tf32))
    if len(options.threads) > 1:
        columns.append(Column("threads", 7, lambda row: str(row.threads)))
    columns += [
        Column("ms", 9, lambda row: f"{row.seconds * 1e3:.3f}"),
        Column("rate", 13, lambda row: f"{row.rate:.1f} {row.unit:>7}"),
        Column("of peak", 7, lambda row: f"{row.fraction:.0%}"),
        Column("ratio", 6, lambda row: f"{row.ratio:.2f}"),
    ]
    return columns + (_comparison(load(options.compare)) if options.compare else [])


def _comparison(old: Run) -> list[Column]:
    """The ratio of another run, and by how much this one's is larger."""
    ratios = {row.case: row.ratio for row in old.rows}

    def before(row):
        return f"{ratios[row.case]:.2f}" if row.case in ratios else "-"

    def change(row):
        return f"{row.ratio / ratios[row.case] - 1:+.0%}" if row.case in ratios else "-"

    return [Column("before", 6, before), Column("change", 6, change)]


def _print_means(rows):
    """Geometric means of the ratios for each setting, pass and format."""
    groups: dict[tuple, list[float]] = {}
    for row in rows:
        groups.setdefault((row.setting, row.which, row.memory_format), []).append(row.ratio)
    print("\nratio = torch's time / cnnops' time, medians of alternating calls; geometric means:")
    for case, ratios in groups.items():
        count, mean, worst = len(ratios), geometric_mean(ratios), min(ratios)
        print(f"{', '.join(case)}: {mean:.2f} of {count}, worst {worst:.2f}")
