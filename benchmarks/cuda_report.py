"""Tables of the CUDA kernels' machine code: python -m benchmarks.cuda_report --arch 80 90.

Compiles csrc/cuda/*.cu (nothing runs, no GPU is needed) and tells for every kernel what it takes of
a multiprocessor, what its main loop is made of, and which goals it misses.
"""

import argparse
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from . import cuda_roofline, machine_code
from .cuda_goals import (
    FFMA_ALLOWANCES,
    INTEGER_ALLOWANCES,
    LEAST_FFMA_SHARE,
    MOST_INTEGERS_PER_TENSOR,
    Row,
    rows,
    shortcomings,
)
from .cuda_problems import launches_by_kernel
from .markdown import squeeze, table

INTRODUCTION = """\
# Machine code of the CUDA kernels

What nvcc and ptxas made of `csrc/cuda`, read from the disassembly and computed from launch plans;
nothing was run.

    {command}

nvcc {version}, flags `{flags}`, `-arch=sm_XX`.

A kernel's *launch* is the one of its launches that leaves the fewest warps resident, among the
problems of `benchmarks/cuda_problems.py`. Resident blocks and warps follow from registers, shared
memory and threads by the rules of NVIDIA's occupancy calculator. The *main loop* is the loop with
the most multiply-adds of its own, else the largest innermost loop; loops inside it count once, and
a kernel without a loop counts as a whole. Moves and addresses count as integer, instructions of the
uniform datapath apart, conversions of half types as conversions.
"""

RESOURCES = (
    *("kernel", "registers", "spilled", "local", "shared: static", "dynamic", "threads", "blocks"),
    *("warps", "occupancy", "limited by"),
)
# The columns of the second table, and the classes of instructions that each adds up.
MIX = {
    "FFMA": "ffma",
    "DFMA": "dfma",
    "MMA": "tensor",
    "float": "float",
    "integer": "integer",
    "uniform": "uniform",
    "predicate": "predicate",
    "convert": "conversion",
    "global": "global",
    "shared": "shared",
    "local": "local",
    "constant": "constant",
    "warp": "warp",
    "barrier": "barrier",
    "branch": "branch",
    "other": "other",
}


def resource_cells(row: Row) -> list[str]:
    kernel, launch, held = row.kernel, row.launch, row.occupancy
    return [
        f"`{kernel.name}`",
        str(kernel.registers),
        str(kernel.spill_stores + kernel.spill_loads),
        str(kernel.stack),
        str(kernel.shared),
        str(launch.shared_bytes),
        str(launch.threads),
        str(held.blocks),
        str(held.warps),
        f"{held.share:.0%}",
        held.limiter,
    ]


def mix_cells(row: Row) -> list[str]:
    mix, tensor = row.mix, row.mix.classes["tensor"]
    counts = [mix.classes[name] for name in MIX.values()]
    return [
        f"`{row.kernel.name}`",
        str(mix.total) if row.loop else f"{mix.total} (no loop)",
        str(row.loop.inner) if row.loop else "",
        f"{mix.share('ffma') + mix.share('dfma'):.0%}",
        f"{mix.classes['integer'] / tensor:.2f}" if tensor else "",
        *(str(count or "") for count in counts),
    ]


SUMMARY = (
    *("architecture", "kernels", "warnings", "most registers", "spill", "use local memory"),
    *("fewest warps", "fall short"),
)


def summary(arch: int, found: list[Row], warnings: list[str]) -> list[str]:
    """One line of the first table: the worst of the kernels that are launched."""
    launched = [row for row in found if row.launch]
    return [
        f"sm_{arch}",
        str(len(launched)),
        str(len(warnings)),
        str(max((row.kernel.registers for row in launched), default=0)),
        str(sum(row.kernel.spill_stores + row.kernel.spill_loads > 0 for row in launched)),
        str(sum(row.kernel.stack + row.kernel.local_accesses > 0 for row in launched)),
        str(min((row.occupancy.warps for row in launched), default=0)),
        str(sum(bool(shortcomings(row)) for row in launched)),
    ]


def sections(arch: int, found: list[Row], warnings: list[str]) -> Iterator[str]:
    """The page's part on one architecture."""
    launched = [row for row in found if row.launch]
    yield f"## sm_{arch}\n"
    yield table(RESOURCES, map(resource_cells, launched)) + "\n"
    header = ("main loop", "instructions", "loops inside", "FMA share", "integer / MMA", *MIX)
    yield table(header, map(mix_cells, launched)) + "\n"
    missed = [f"- `{row.kernel.name}`: {text}" for row in launched for text in shortcomings(row)]
    yield _list("Goals missed", missed) or "Every kernel reaches what it is held to.\n"
    yield _list("Warnings of the compiler", [f"- {line}" for line in warnings])
    dead = [f"- `{row.kernel.name}`" for row in found if not row.launch]
    yield _list("Compiled, but launched by no plan for this architecture", dead)


def allowances() -> str:
    """The kernels that are held to less than the goals."""
    lines = [
        [f"`{one.kernels}`", f"{one.limit:.0%} FFMA", f"{LEAST_FFMA_SHARE:.0%}", one.reason]
        for one in FFMA_ALLOWANCES
    ] + [
        [
            f"`{one.kernels}`",
            f"{one.limit:g} integer / MMA",
            f"{MOST_INTEGERS_PER_TENSOR}",
            one.reason,
        ]
        for one in INTEGER_ALLOWANCES
    ]
    return "Main loops out of the goals' reach:\n\n" + table(
        ("kernels whose name matches", "are held to", "instead of", "because"), lines
    )


def _list(title: str, items: list[str]) -> str:
    return "\n".join([f"{title}:\n", *items]) + "\n" if items else ""


def report(options: argparse.Namespace) -> str:
    reports = {arch: _kernels(arch, options.filter) for arch in options.arch}
    version, flags = machine_code.find_tools().version, " ".join(machine_code.flags())
    introduction = INTRODUCTION.format(command=_command(), version=version, flags=flags)
    overview = table(SUMMARY, (summary(arch, *found) for arch, found in reports.items()))
    parts = [introduction, overview + "\n", allowances() + "\n"]
    for arch in options.details or options.arch:
        parts += filter(None, sections(arch, *reports[arch]))
    return "\n".join(parts)


def _command() -> str:
    return f"python -m benchmarks.cuda_report {shlex.join(sys.argv[1:])}".strip()


def _kernels(arch: int, text: str) -> tuple[list[Row], list[str]]:
    """Rows of the kernels whose name holds `text`, and the warnings of all sources."""
    builds = [machine_code.build(source, arch) for source in machine_code.sources()]
    kernels = [kernel for build in builds for kernel in build.kernels if text in kernel.name]
    warnings = [line for build in builds for line in build.warnings]
    return rows(kernels, launches_by_kernel(arch)), warnings


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    known = machine_code.architectures()
    parser.add_argument("--arch", nargs="+", type=int, choices=known, default=[80, 90])
    parser.add_argument(
        "--details", nargs="+", type=int, help="those of --arch to list kernels for"
    )
    parser.add_argument("--filter", default="", help="only kernels whose name holds this text")
    parser.add_argument("--roofline", action="store_true", help="write the roofline page instead")
    parser.add_argument("--output", type=Path, help="a file to write instead of printing")
    options = parser.parse_args()
    if not set(options.details or []) <= set(options.arch):
        parser.error(f"--details must be among --arch {options.arch}, got {options.details}")
    return options


def main() -> None:
    options = parse()
    try:
        text = cuda_roofline.page(_command()) if options.roofline else report(options)
    except (machine_code.MissingTools, machine_code.CompilationFailed) as problem:
        raise SystemExit(f"benchmarks.cuda_report: {problem}") from None
    if options.output:
        options.output.write_text(squeeze(text))
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
