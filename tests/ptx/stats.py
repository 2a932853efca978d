"""What a launch did, counted."""

from collections import Counter, namedtuple

import numpy as np

LineStats = namedtuple("LineStats", "issued conflicts sectors ideal_sectors text")
BufferStats = namedtuple("BufferStats", "bytes_loaded bytes_stored touched_read touched_written")

CLASSES = (
    "integer",
    "fp32 fma",
    "float",
    "fp64",
    "mma",
    "ldmatrix",
    "global load",
    "global store",
    "shared load",
    "shared store",
    "cp.async",
    "branch",
    "barrier",
    "conversion",
    "other",
)
FLOAT_TYPES = {"f16", "bf16", "f16x2", "bf16x2", "f32", "tf32"}
MEMORY = {"ld", "ldu", "st", "atom", "red"}


def classify(item):
    """The class of an instruction in the counts."""
    opcode, words = item.opcode, item.modifiers
    if opcode in ("mma", "wmma"):
        return "mma"
    if opcode in ("ldmatrix", "stmatrix"):
        return "ldmatrix"
    if opcode in MEMORY:
        return classify_access(opcode, words)
    if opcode == "cp":
        return "cp.async"
    if opcode in ("bra", "brx", "ret", "exit", "call"):
        return "branch"
    if opcode in ("bar", "barrier"):
        return "barrier"
    if opcode == "cvt":
        return "conversion"
    if opcode in ("fma", "mad") and words and words[-1] == "f32":
        return "fp32 fma"
    if "f64" in words:
        return "fp64"
    if FLOAT_TYPES.intersection(words) and opcode not in ("mov", "selp"):
        return "float"
    if opcode in ("shfl", "vote", "redux", "membar", "fence", "trap", "activemask", "match"):
        return "other"
    return "integer"


def classify_access(opcode, words):
    """The class of a load, store or atomic."""
    space = next((word for word in words if word in ("shared", "local", "const", "param")), None)
    if space in ("local", "const", "param") or "argument" in words:
        return "other"
    kind = "store" if opcode in ("st", "red") else "load"
    return f"{space or 'global'} {kind}"


class Stats:
    """Counters of one launch.

    `instructions` counts warp instructions by class. `sectors_loaded` and `sectors_stored` count
    32-byte sectors of global memory, the ideals the fewest for the same bytes. `bank_conflicts` are
    passes over shared memory beyond the fewest. `lines` maps a PTX line to its LineStats,
    `buffers` a buffer's name to its BufferStats.
    """

    def __init__(self, program):
        self.program = program
        self.blocks = 0
        self.issued = [0] * len(program.blocks)
        count = len(program.instructions)
        self._conflicts = [0] * count
        self._sectors = [0] * count
        self._ideal = [0] * count
        self._loaded, self._stored = Counter(), Counter()
        self.sectors_loaded = self.sectors_stored = 0
        self.ideal_sectors_loaded = self.ideal_sectors_stored = 0
        self.shared_wavefronts = self.bank_conflicts = 0
        self.bytes_loaded = self.bytes_stored = 0
        self.buffers = {}

    def count_shared(self, at, pattern, scale):
        """One access of shared memory by `scale` times the warps of the pattern."""
        passes, fewest = pattern.wavefronts
        self.shared_wavefronts += passes * scale
        if passes != fewest:
            self.bank_conflicts += (passes - fewest) * scale
            self._conflicts[at] += (passes - fewest) * scale

    def count_global(self, at, pattern, scale, size, buffer, store):
        """One access of global memory of `size` bytes in all."""
        sectors, ideal = pattern.sectors * scale, pattern.ideal_sectors * scale
        self._sectors[at] += sectors
        self._ideal[at] += ideal
        if store:
            self.sectors_stored += sectors
            self.ideal_sectors_stored += ideal
            self.bytes_stored += size
            self._stored[buffer.name] += size
        else:
            self.sectors_loaded += sectors
            self.ideal_sectors_loaded += ideal
            self.bytes_loaded += size
            self._loaded[buffer.name] += size

    def finish(self, buffers):
        """Sum up after the last block."""
        self.instructions = Counter(dict.fromkeys(CLASSES, 0))
        self.lines = {}
        for block, issued in zip(self.program.blocks, self.issued):
            for at, item in block.items:
                self.instructions[classify(item)] += issued
                self._add_line(at, item, issued)
        self.instructions = dict(self.instructions)
        for buffer in buffers:
            read, wrote = buffer.touched()
            name = buffer.name
            counts = BufferStats(self._loaded[name], self._stored[name], read, wrote)
            self.buffers[name] = counts

    def _add_line(self, at, item, issued):
        counts = (issued, self._conflicts[at], self._sectors[at], self._ideal[at])
        text = item.text
        known = self.lines.get(item.line)
        if known:
            counts = tuple(np.add(known[:4], counts).tolist())
            text = f"{known.text}; {text}"
        self.lines[item.line] = LineStats(*counts, text)

    @property
    def total_instructions(self):
        return sum(self.instructions.values())
