"""What is asked of the machine code of every CUDA kernel."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from . import sass
from .cuda_problems import Launch
from .cuda_tile import tile_of
from .machine_code import Kernel
from .occupancy import Occupancy, occupancy

LEAST_FFMA_SHARE = 0.8  # of a float32 main loop
MOST_INTEGERS_PER_TENSOR = 1.5
LEAST_BLOCKS, LEAST_WARPS = 2, 8  # resident at once; one of the two


class Allowance(NamedTuple):
    """Kernels whose main loop cannot reach its goal, what they are held to instead, and why."""

    kernels: str  # a pattern that their names match
    limit: float  # share of FFMA at least, or integers a tensor-core instruction at most
    reason: str


ONE_BY_ONE = (
    "elements of any strides are fetched one by one: an address and two comparisons for each, "
    "where a copy of 16 bytes needs them once for 4 or 8"
)
NARROW = "in a narrow tile fewer products share the fetching of the same patches"
ROUNDED = "activations are rounded to TF32 after the copy, each by a comparison and an addition"
TRANSPOSED = "pixels are read from a table in shared memory, and places of transposed chunks turn"

FFMA_ALLOWANCES = (
    Allowance(r"Simt<float, 128, 32>.* Chunks", 0.7, NARROW),
    Allowance(r"Simt<float, 128, 64>.*Gather", 0.72, f"{NARROW}; {ONE_BY_ONE}"),
    Allowance(r"Simt<float, 128, 32>.*Gather", 0.55, f"{NARROW}; {ONE_BY_ONE}"),
    Allowance(r"Simt<float, 128, 128>.*Lanes", 0.75, ONE_BY_ONE),
    Allowance(r"Simt<float, 64, 64>.*Lanes", 0.6, f"{NARROW}; {ONE_BY_ONE}"),
)
INTEGER_ALLOWANCES = (
    Allowance(r"TensorCore<Tf32, 128, 128>.* Chunks", 1.6, ROUNDED),
    Allowance(r"TensorCore<\w+, 128, 64>.* Chunks", 3, NARROW),
    Allowance(r"TensorCore<\w+, 128, 32>.* Chunks", 6.5, NARROW),
    Allowance(r"TensorCore<\w+, 128, 128>.*Gather", 7, ONE_BY_ONE),
    Allowance(r"TensorCore<\w+, 128, 64>.*Gather", 13, f"{NARROW}; {ONE_BY_ONE}"),
    Allowance(r"TensorCore<\w+, 128, 32>.*Gather", 25, f"{NARROW}; {ONE_BY_ONE}"),
    Allowance(r"TensorCore<\w+, 128, 128>.*GradChunks", 1.8, TRANSPOSED),
    Allowance(r"TensorCore<\w+, 64, 64>.*GradChunks", 5, f"{NARROW}; {TRANSPOSED}"),
    Allowance(r"TensorCore<\w+, 128, 128>.*Lanes", 11, ONE_BY_ONE),
    Allowance(r"TensorCore<\w+, 64, 64>.*Lanes", 23, f"{NARROW}; {ONE_BY_ONE}"),
)


def allowance_of(kernel: str) -> Allowance | None:
    """The first that a kernel's name matches."""
    found = (e for e in (*FFMA_ALLOWANCES, *INTEGER_ALLOWANCES) if re.search(e.kernels, kernel))
    return next(found, None)


class Row(NamedTuple):
    """A kernel, its most demanding launch (None: no problem reaches it), and its main loop."""

    kernel: Kernel
    launch: Launch | None
    occupancy: Occupancy
    loop: sass.Loop | None

    @property
    def mix(self) -> sass.Mix:
        """Of the main loop with the loops inside it, or of the whole kernel if it has none."""
        return sass.mix(self.loop.body if self.loop else self.kernel.code)


def rows(kernels: Iterable[Kernel], launches: dict[str, list[Launch]]) -> list[Row]:
    return [_row(kernel, launches.get(kernel.name, [])) for kernel in kernels]


def _row(kernel: Kernel, launches: list[Launch]) -> Row:
    """Without a known launch, one with all threads and only static shared memory stands in."""
    stand_in = Launch(kernel.name, 1, kernel.max_threads or 1024, 0)
    held = {
        launch: occupancy(
            kernel.arch, launch.threads, kernel.registers, kernel.shared + launch.shared_bytes
        )
        for launch in launches or [stand_in]
    }
    worst = min(held, key=lambda launch: held[launch].warps)
    return Row(kernel, worst if launches else None, held[worst], sass.main_loop(kernel.code))


def shortcomings(row: Row) -> list[str]:
    """The goals that a kernel misses."""
    return [*_resource_shortcomings(row), *_loop_shortcomings(row)]


def _resource_shortcomings(row: Row) -> Iterator[str]:
    kernel, held = row.kernel, row.occupancy
    if kernel.spill_stores or kernel.spill_loads:
        yield f"spills {kernel.spill_stores} bytes, reloads {kernel.spill_loads}"
    if kernel.stack or kernel.local_accesses:
        yield f"{kernel.stack} bytes of stack, {kernel.local_accesses} accesses to local memory"
    if not kernel.max_threads:
        yield "no launch bounds"
    elif row.launch and row.launch.threads > kernel.max_threads:
        yield f"launched with {row.launch.threads} threads, bounded to {kernel.max_threads}"
    if held.blocks < LEAST_BLOCKS and held.warps < LEAST_WARPS:
        yield f"{held.blocks} blocks of {held.warps} warps resident, limited by {held.limiter}"
    if not any(instruction.stem == "STG" for instruction in kernel.code):
        yield "writes nothing to global memory"


def _loop_shortcomings(row: Row) -> Iterator[str]:
    mix, tensor = row.mix, row.mix.classes["tensor"]
    if mix.unknown:
        yield f"unknown instructions: {', '.join(mix.unknown)}"
    allowance = allowance_of(row.kernel.name)
    least_ffma = allowance.limit if allowance else LEAST_FFMA_SHARE
    most_integers = allowance.limit if allowance else MOST_INTEGERS_PER_TENSOR
    if "Simt<float" in row.kernel.name and mix.share("ffma") < least_ffma:
        yield f"FFMA is {mix.share('ffma'):.1%} of the main loop"
    if mix.classes["integer"] > most_integers * tensor > 0:
        yield f"{mix.classes['integer'] / tensor:.2f} integer instructions a tensor-core one"
    if tensor:
        yield from _superfluous_loads(row)


def _superfluous_loads(row: Row) -> Iterator[str]:
    """A main loop loads every fragment once and, where whole chunks are copied, every chunk."""
    tile, mix = tile_of(row.kernel.name), row.mix
    steps = mix.classes["tensor"] / tile.products(row.kernel.arch)
    needed = {"LDSM": steps * tile.fragment_loads}
    if row.kernel.name.endswith("Chunks>"):
        needed["LDGSTS"] = steps * tile.copies
    for stem, count in needed.items():
        if mix.count(stem) > count:
            yield f"{mix.count(stem)} {stem} in the main loop, the tile needs {count:g}"
