"""How many blocks of a kernel one multiprocessor holds, and what limits them.

The rules are those of NVIDIA's occupancy calculator (cuda_occupancy.h in every toolkit); the tests
compare the two.
"""

from typing import NamedTuple

WARP = 32
REGISTERS = 64 * 1024  # 32-bit registers of a multiprocessor
SUB_PARTITIONS = 4  # each holds a quarter of the registers, and whole warps
REGISTER_UNIT = 256  # registers are given to a warp in multiples of this
MAX_REGISTERS = 255  # of a thread
MAX_THREADS = 1024  # of a block


class Architecture(NamedTuple):
    """Limits of one multiprocessor; bytes of shared memory at its largest carve-out."""

    warps: int
    blocks: int
    shared: int
    shared_of_block: int  # the most that a block may ask for
    reserved: int  # what the system takes of shared memory for each block
    shared_unit: int


KIB = 1024

# CUDA C++ Programming Guide 13.0, "Compute Capabilities", table "Technical Specifications per
# Compute Capability"; units of allocation from cuda_occupancy.h.
ARCHITECTURES = {
    75: Architecture(32, 16, 64 * KIB, 64 * KIB, 0, 256),
    80: Architecture(64, 32, 164 * KIB, 163 * KIB, KIB, 128),
    86: Architecture(48, 16, 100 * KIB, 99 * KIB, KIB, 128),
    89: Architecture(48, 24, 100 * KIB, 99 * KIB, KIB, 128),
    90: Architecture(64, 32, 228 * KIB, 227 * KIB, KIB, 128),
    100: Architecture(64, 32, 228 * KIB, 227 * KIB, KIB, 128),
    120: Architecture(48, 24, 100 * KIB, 99 * KIB, KIB, 128),
}


class Occupancy(NamedTuple):
    """Blocks and warps that are resident at once, of how many warps, and what allows no more."""

    blocks: int
    warps: int
    most_warps: int
    limiter: str

    @property
    def share(self) -> float:
        return self.warps / self.most_warps


def occupancy(arch: int, threads: int, registers: int, shared_bytes: int) -> Occupancy:
    """Occupancy by blocks of `threads`, with static and dynamic shared memory taken together.

    No blocks at all means that such a launch fails.
    """
    limits = ARCHITECTURES[arch]
    warps = -(-threads // WARP)
    by_limit = {
        "warps": limits.warps // warps if threads <= MAX_THREADS else 0,
        "blocks": limits.blocks,
        "registers": _blocks_by_registers(warps, registers),
        "shared memory": _blocks_by_shared_memory(limits, shared_bytes),
    }
    blocks = min(by_limit.values())
    limiter = next(name for name, count in by_limit.items() if count == blocks)
    return Occupancy(blocks, blocks * warps, limits.warps, limiter)


def _blocks_by_registers(warps: int, registers: int) -> int:
    """A block's warps are spread over the sub-partitions, each of which holds whole warps."""
    of_warp = _round_up(max(registers, 1) * WARP, REGISTER_UNIT)
    if registers > MAX_REGISTERS or of_warp * _round_up(warps, SUB_PARTITIONS) > REGISTERS:
        return 0
    return SUB_PARTITIONS * (REGISTERS // SUB_PARTITIONS // of_warp) // warps


def _blocks_by_shared_memory(limits: Architecture, shared_bytes: int) -> int:
    if shared_bytes > limits.shared_of_block:
        return 0
    of_block = _round_up(shared_bytes + limits.reserved, limits.shared_unit)
    return limits.shared // of_block if of_block else limits.blocks


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
