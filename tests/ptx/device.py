"""The device: buffers of global memory, and launches."""

import numpy as np

from .buffers import Buffer
from .cta import Cta
from .fault import Fault
from .fixed import FixedMemory
from .layout import FIRST_BUFFER_SLOT
from .patterns import Patterns
from .stats import Stats

ORDERS = ("lockstep", "forward", "backward", "shuffled")
SHARED_LIMITS = {"sm_75": 64 << 10, "sm_80": 163 << 10, "sm_86": 99 << 10, "sm_89": 99 << 10}
SHARED_LIMITS["sm_90"] = 227 << 10
STATIC_LIMIT = 48 << 10
BLOCK_LIMITS = (1024, 1024, 64)
GRID_LIMITS = (2**31 - 1, 65535, 65535)
INSTRUCTION_LIMIT = 20_000_000


def triple(extent):
    """An extent as three numbers."""
    extent = (extent,) if isinstance(extent, (int, np.integer)) else tuple(extent)
    return tuple(int(number) for number in extent) + (1,) * (3 - len(extent))


class Device:
    """Global memory, and what runs kernels on it."""

    def __init__(self):
        self._buffers = {}
        self._symbols = {}
        self._patterns = Patterns()

    def buffer(self, name, contents, writable=False, alignment_offset=0):
        """A buffer with the bytes of an array, or of a number of bytes that hold no value yet.

        It starts `alignment_offset` bytes after a multiple of 256, far from any other.
        """
        slot = FIRST_BUFFER_SLOT + len(self._buffers)
        buffer = Buffer(name, slot, contents, writable, alignment_offset)
        self._buffers[slot] = buffer
        return buffer

    def _module_symbols(self, module):
        """Addresses of a module's .global variables, made when it first runs."""
        if module not in self._symbols:
            names = {}
            for found in module.variables.values():
                if found.space == "global":
                    contents = np.frombuffer(found.initial or bytes(found.size), np.uint8)
                    names[found.name] = self.buffer(found.name, contents, writable=True).address
            self._symbols[module] = names
            self._patch_references(module, names)
        return self._symbols[module]

    def _patch_references(self, module, names):
        """Fill in the addresses that initialisers name."""
        for found in module.variables.values():
            for place, target, offset in found.references:
                value = np.array([names[target] + offset], np.uint64).view(np.uint8)
                buffer = next(b for b in self._buffers.values() if b.address == names[found.name])
                buffer.data.raw[place : place + 8] = value

    def launch(
        self,
        kernel,
        grid,
        block,
        shared_bytes=0,
        arguments=b"",
        order="lockstep",
        seed=0,
        instruction_limit=INSTRUCTION_LIMIT,
    ):
        """Run a kernel; gives the Stats of the launch, or raises a Fault.

        `arguments` are the bytes of the parameters, each at its alignment. `order` is how the warps
        of a block take turns: all together ("lockstep"), one after another until it waits
        ("forward", "backward"), or at random by `seed` ("shuffled"); blocks go in the same order.
        """
        launch = Launch(kernel, triple(grid), triple(block), shared_bytes, arguments, order, seed)
        launch.instruction_limit = instruction_limit
        launch.patterns = self._patterns
        launch.symbols = self._module_symbols(kernel.module)
        launch.buffers = self._buffers
        for buffer in self._buffers.values():
            buffer.begin_launch()
        with np.errstate(all="ignore"):
            launch.run()
        launch.stats.finish(self._buffers.values())
        return launch.stats


class Launch:
    """One launch of a kernel."""

    def __init__(self, kernel, grid, block, shared_bytes, arguments, order, seed):
        if order not in ORDERS:
            raise ValueError(f"order {order!r} is none of {ORDERS}")
        self.kernel = kernel
        self.grid = grid
        self.block = block
        self.order = order
        self.threads = int(np.prod(block))
        self.random = np.random.default_rng(seed)
        self.program = kernel.fine_program if order == "shuffled" else kernel.program
        self.dynamic_shared = shared_bytes
        self.shared_size = self.program.dynamic_start + shared_bytes
        self.parameters = FixedMemory("parameter", arguments)
        self.constants = FixedMemory("constant", kernel.module.constants)
        self.stats = Stats(self.program)
        self._memory = {}
        self._check(arguments)

    def remember(self, key, compute):
        """What a function gives, taken once for each key."""
        if key not in self._memory:
            self._memory[key] = compute()
        return self._memory[key]

    def _check(self, arguments):
        kernel = self.kernel
        limit = SHARED_LIMITS.get(kernel.module.arch, SHARED_LIMITS["sm_90"])
        refusals = {
            f"{len(arguments)} bytes of arguments, {kernel.parameter_size} expected": len(arguments)
            != kernel.parameter_size,
            f"a block of {self.block}": any(
                not 0 < extent <= most for extent, most in zip(self.block, BLOCK_LIMITS)
            )
            or self.threads > 1024,
            f"a grid of {self.grid}": any(
                not 0 < extent <= most for extent, most in zip(self.grid, GRID_LIMITS)
            ),
            f"{self.threads} threads, at most {kernel.max_threads} by its launch bounds": (
                kernel.max_threads is not None and self.threads > kernel.max_threads
            ),
            f"{self.shared_size} bytes of shared memory, of {limit}": self.shared_size > limit,
            f"{self.program.static_shared} bytes of static shared memory": (
                self.program.static_shared > STATIC_LIMIT
            ),
        }
        for message, refused in refusals.items():
            if refused:
                raise Fault("launch", message, kernel=kernel.name)

    def run(self):
        """Run the blocks one after another."""
        blocks = np.arange(int(np.prod(self.grid, dtype=np.int64)))
        if self.order == "backward":
            blocks = blocks[::-1]
        elif self.order == "shuffled":
            blocks = self.random.permutation(blocks)
        for block in blocks.tolist():
            Cta(self, block).run()
            for buffer in self.buffers.values():
                buffer.end_block()
        self.stats.blocks = len(blocks)
