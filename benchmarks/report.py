"""Runs all speed benchmarks of the CPU for the documentation: python -m benchmarks.report.

Writes the results and pictures into OUTPUT/speed, and the section on speed of OUTPUT/results.md
from all results that are there. --parts runs some; without names it only writes the section anew.
"""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from . import goals
from .command_line import ONEDNN_LIMIT
from .markdown import squeeze, table
from .results import Row, Run, load

HEADING = "## Speed against torch"


class Part(NamedTuple):
    """A benchmark with its options."""

    benchmark: str
    options: str
    plot: bool = False
    onednn_limit: str | None = None


# The options of a part decide what its file holds; a part with two numbers of threads has both.
PARTS = {
    "conv2d-warm": Part("conv2d", "--malloc warm --threads 1 2", plot=True),
    "conv2d-default": Part("conv2d", "--malloc default --threads 2"),
    "conv2d-bfloat16": Part(
        "conv2d",
        "--malloc warm --threads 2 --batch 2 --dtypes bfloat16 --filter '3x3 stride 1'",
        plot=True,
        onednn_limit="AVX512_CORE_VNNI",
    ),
    # A few layers: without instructions for float16 oneDNN takes seconds for the large ones.
    "conv2d-float16": Part(
        "conv2d",
        "--malloc warm --threads 2 --batch 2 --dtypes float16 --filter resnet20",
        onednn_limit="AVX512_CORE_VNNI",
    ),
    "products-warm": Part("products", "--malloc warm --threads 1 2"),
    "products-default": Part("products", "--malloc default --threads 2"),
    "pool2d-warm": Part("pool2d", "--malloc warm --threads 1 2", plot=True),
    "movement-warm": Part("movement", "--malloc warm --threads 1 2"),
    "pool2d-default": Part("pool2d", "--malloc default --threads 2"),
    "movement-default": Part("movement", "--malloc default --threads 2"),
    "network-warm": Part(
        "network", "--malloc warm --threads 2 --passes step hollow products", plot=True
    ),
    "network-default": Part(
        "network", "--malloc default --threads 2 --passes step hollow products"
    ),
    "tiny-warm": Part("tiny", "--malloc warm --threads 1 2"),
    "tiny-default": Part("tiny", "--malloc default --threads 2"),
    "denormals": Part("denormals", "--malloc warm --threads 1"),
}


def run_part(name: str, folder: Path, seconds: float) -> bool:
    """Runs a part in a process of its own and says whether it succeeded; old results go."""
    part = PARTS[name]
    command = [sys.executable, "-m", f"benchmarks.{part.benchmark}", *shlex.split(part.options)]
    command += ["--seconds", str(seconds), "--save", str(folder / f"{name}.json")]
    for old in (*folder.glob(f"{name}.json"), *folder.glob(f"{name}*.png")):
        old.unlink()
    if part.plot:
        command += ["--plot", str(folder / f"{name}.png")]
    limit = {ONEDNN_LIMIT: part.onednn_limit} if part.onednn_limit else {}
    return subprocess.run(command, env=os.environ | limit).returncode == 0


def section(folder: Path) -> str:
    """The section from all results in a folder, in the order of PARTS."""
    runs = {name: load(path) for name in PARTS if (path := folder / f"{name}.json").exists()}
    rows = [row for run in runs.values() for row in run.rows]
    pictures = [
        f"![{path.stem}]({folder.name}/{path.name})"
        for name in PARTS
        for path in sorted(folder.glob(f"{name}*.png"))
    ]
    parts = [HEADING, _INTRODUCTION, _machines(runs), goals.page(rows), _networks(rows), *pictures]
    return squeeze("\n\n".join(part for part in parts if part)) + "\n"


_INTRODUCTION = """\
Ratio = torch's time / cnnops' time; above 1 cnnops is faster. Medians of alternating calls in one
process, outputs allocated in every call. Shapes are all distinct layers of the networks
(`benchmarks/shapes.py`), each checked against float64 before it is timed, each once in a mean.
Half types are held against oneDNN without its instructions for them, for which their goals are.
`python -m benchmarks.report` writes this section."""


def _machines(runs: dict[str, Run]) -> str:
    """What ran where, each machine once."""
    lines = []
    for key in ("machine", "versions"):
        lines += [f"- {key}: {fact}" for fact in dict.fromkeys(r.facts[key] for r in runs.values())]
    return "\n".join(
        [
            *lines,
            *(
                f"- {r.facts['date']}, load {r.facts['load']}: `{r.facts['command']}`"
                for r in runs.values()
            ),
        ]
    )


def _networks(rows: Sequence[Row]) -> str:
    """The time of every network's step on both sides, and how near it can come to its limit."""
    networks = [row for row in rows if row.kind == "network"]
    rests, products = (
        {_place(row): row for row in networks if row.which == which}
        for which in ("hollow", "products")
    )
    lines = [
        [
            ", ".join(_place(row)),
            str(row.batch),
            *_times(row),
            *_limits(rests.get(_place(row)), products.get(_place(row))),
        ]
        for row in networks
        if row.which == "step"
    ]
    if not lines:
        return ""
    header = (
        *("training step", "images", "cnnops ms", "torch ms", "ratio"),
        *("rest ms", "limit", "limit by products"),
    )
    return f"### Whole networks\n\n{_NETWORKS}\n\n{table(header, lines)}"


_NETWORKS = """\
Rest: a step whose convolutions and poolings only write zeros (`benchmarks/hollow.py`). Limit of the
ratio: torch's step over the rest and the convolutions' multiplications at the measured peak, as few
of them as Winograd's algorithms need. Limit by products: torch's step over the rest and the bare
matrix products of all convolutions, by torch's matrix product (`benchmarks/products.py`)."""


def _place(row: Row) -> tuple[str, str, str]:
    return row.name, row.memory_format, row.setting


def _times(row: Row) -> list[str]:
    return [f"{row.seconds * 1e3:.1f}", f"{row.torch_seconds * 1e3:.1f}", f"{row.ratio:.2f}"]


def _limits(rest: Row | None, products: Row | None) -> list[str]:
    """The time of the rest of a step, and the limits of the step's ratio."""
    by_products = "-" if products is None else f"{products.ratio:.2f}"
    if rest is None:
        return ["-", "-", by_products]
    least = rest.seconds + rest.work / rest.peak / 1e9
    return [f"{rest.seconds * 1e3:.1f}", f"{rest.torch_seconds / least:.2f}", by_products]


def replace_section(page: str, new: str) -> str:
    """The page with its section of the same heading replaced, up to the next one; else appended."""
    heading = new.split("\n", 1)[0] + "\n"
    start = page.find(heading)
    if start < 0:
        return f"{page.rstrip()}\n\n{new}"
    end = page.find("\n## ", start + len(heading))
    return page[:start] + new + ("" if end < 0 else page[end:])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--output", type=Path, default=Path("docs"), help="default %(default)s")
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=0.1, help="for each timing")
    options = parser.parse_args(arguments)
    folder = options.output / "speed"
    failed = [name for name in options.parts if not run_part(name, folder, options.seconds)]
    page = options.output / "results.md"
    text = page.read_text() if page.exists() else "# Results\n"
    page.write_text(replace_section(text, section(folder)))
    print(f"\nwrote {HEADING.strip('# ')!r} of {page}")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
