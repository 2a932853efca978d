"""A kernel ready to run: blocks in order, registers numbered, variables placed."""

from functools import cached_property

import numpy as np

from . import writer
from .flow import BARRIERS, build, crossing, ends_block
from .kinds import CODES
from .lanes import Mask
from .syntax import Address, Symbol
from .writer import BlockWriter

PIECE = 8


def align(value, alignment):
    """The next multiple."""
    return -(-value // alignment) * alignment


def symbols_in(body):
    """Names of the variables that instructions mention."""
    names = set()
    for item in body:
        for operand in getattr(item, "operands", ()):
            base = operand.base if isinstance(operand, Address) else operand
            if isinstance(base, Symbol):
                names.add(base.name)
    return names


class Program:
    """The basic blocks of one kernel. With `fine` they are cut into small pieces, so that warps can
    be switched within them."""

    def __init__(self, kernel, flat, fine=False):
        self.kernel = kernel
        self.name = kernel.name
        self.registers = flat.registers
        self.scope = writer.scope()
        self._constants = {}
        blocks = build(flat.body, flat.branch_targets, PIECE if fine else None)
        shared = crossing(blocks)
        self.slots, self.unproven = shared.slots, shared.unproven
        self.instructions = []
        self.blocks = [ProgramBlock(self, index, block) for index, block in enumerate(blocks)]
        self._place_variables(flat)
        self.initial_registers = [self._initial(name) for name in self.slots]

    def _initial(self, name):
        kind = "bool_" if name == "%carry" else writer.storage(self.registers[name])
        return CODES[kind](0)

    def _place_variables(self, flat):
        module = self.kernel.module
        used = symbols_in(flat.body)
        self.addresses = dict(self.kernel.parameter_offsets)
        self.addresses.update(module.constant_offsets)
        self.local_size = self._place(flat.variables.values(), used, "local")
        shared = [*module.variables.values(), *flat.variables.values()]
        static = [found for found in shared if not found.extern]
        self.static_shared = self._place(static, used, "shared")
        dynamic = [found for found in shared if found.extern and found.space == "shared"]
        dynamic = [found for found in dynamic if found.name in used]
        start = align(self.static_shared, max((found.align for found in dynamic), default=1))
        self.dynamic_start = start
        self.addresses.update({found.name: start for found in dynamic})

    def _place(self, variables, used, space):
        size = 0
        for found in variables:
            if found.space == space and found.name in used:
                start = align(size, found.align)
                self.addresses[found.name] = start
                size = start + found.size
        return size

    def constant(self, value, numpy_code):
        """The name under which written functions find a numpy scalar."""
        scalar = CODES[numpy_code](value)
        key = (numpy_code, scalar.tobytes())
        if key not in self._constants:
            self._constants[key] = name = f"k{len(self._constants)}"
            self.scope[name] = scalar
        return self._constants[key]

    def symbol(self, symbol, numpy_code):
        """An expression for the address of a variable."""
        if symbol.name in self.addresses:
            return self.constant(self.addresses[symbol.name] + symbol.offset, numpy_code)
        found = self.kernel.module.variables.get(symbol.name)
        if found is None or found.space != "global":
            raise writer.Unsupported(f"variable {symbol.name}")
        return f"{numpy_code}(g.cta.launch.symbols[{symbol.name!r}] + {symbol.offset})"


class ProgramBlock:
    """One basic block, written as Python when it first runs."""

    def __init__(self, program, index, block):
        self.program = program
        self.index = index
        self.successors = block.successors
        first = len(program.instructions)
        program.instructions += block.items
        self.items = list(enumerate(block.items, first))
        self.size = len(self.items)
        self.last = self.items[-1][0] if self.items else None
        self.leave = self._leave()

    @cached_property
    def whole(self):
        """The block for all threads of a group."""
        writer = BlockWriter(self.program, self.items, False)
        return writer.function(f"{self.program.name} block {self.index}")

    @cached_property
    def masked(self):
        """The block for a part of the threads."""
        writer = BlockWriter(self.program, self.items, True)
        return writer.function(f"{self.program.name} block {self.index} masked")

    def _leave(self):
        end = self.items[-1][1] if self.items else None
        if end is None or not ends_block(end):
            return self._exit if not self.successors else self._fall
        if end.opcode in BARRIERS:
            return self._barrier
        if end.opcode == "bra":
            return self._branch if end.guard else self._fall
        return self._switch if end.opcode == "brx" else self._exit

    def _exit(self, group, mask, outcome):
        group.exit(mask)

    def _fall(self, group, mask, outcome):
        group.arrive(self.successors[0], mask)

    def _branch(self, group, mask, outcome):
        group.split(mask, outcome, *self.successors)

    def _switch(self, group, mask, outcome):
        chosen = np.broadcast_to(outcome, group.count)
        active = np.ones(group.count, np.bool_) if mask is None else mask.bits
        for index, place in enumerate(self.successors):
            bits = active & (chosen == index)
            if bits.any():
                group.arrive(place, None if bits.all() else Mask(bits))

    def _barrier(self, group, mask, outcome):
        numbers, count, deliver = outcome
        end = self.items[-1][1]
        arrives = "arrive" in end.modifiers
        place = None if arrives else self.successors[0]
        aligned = end.opcode == "bar" or "aligned" in end.modifiers
        for number, part in by_number(group, mask, numbers):
            group.cta.wait(group, part, place, self.last, number, count, aligned, deliver)
        if arrives:
            group.arrive(self.successors[0], mask)


def by_number(group, mask, numbers):
    """The threads that go to each barrier; most often all go to one."""
    if numbers.__class__ is not np.ndarray:
        return [(int(numbers), mask)]
    active = np.ones(group.count, np.bool_) if mask is None else mask.bits
    parts = []
    for number in np.unique(numbers[active]).tolist():
        bits = active & (numbers == number)
        parts.append((number, None if bits.all() else Mask(bits)))
    return parts
