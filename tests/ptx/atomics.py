"""Atomic operations, one thread after another in the order of the lanes."""

import numpy as np

from .access import active_values, idle, memory_at
from .halves import from_bf16, from_f16, to_bf16, to_f16
from .kinds import CODES, WIDTH, bits, code


def add_halves(kind):
    """Addition of one or two 16-bit floats held as bits."""
    read, write = (from_f16, to_f16) if kind.startswith("f16") else (from_bf16, to_bf16)

    def add(old, value):
        pair = [np.array([number]).view(np.uint16) for number in (old, value)]
        return write(read(pair[0]) + read(pair[1])).view(old.dtype)[0]

    return add


def increase(old, value):
    """inc: back to 0 after the bound."""
    return old.dtype.type(0) if old >= value else old + old.dtype.type(1)


def decrease(old, value):
    """dec: from 0, or from above the bound, back to the bound."""
    return value if old == 0 or old > value else old - old.dtype.type(1)


OPERATIONS = {
    "add": lambda old, value: old + value,
    "min": min,
    "max": max,
    "and": lambda old, value: old & value,
    "or": lambda old, value: old | value,
    "xor": lambda old, value: old ^ value,
    "exch": lambda old, value: value,
    "inc": increase,
    "dec": decrease,
    "cas": lambda old, expected, value: value if old == expected else old,
}


def update(group, space, operation, kind, places, offset, values, at, wanted):
    """atom and red; gives the old bits where they are wanted."""
    old = np.zeros(group.count, CODES[bits(kind)])
    if idle(places):
        return old
    mask = places.mask
    values = [active_values(group, value, mask) for value in values]
    threads = group.everyone if mask is None else mask.index
    if space == "shared" or places.one_slot():
        parts = [(slice(None), places)]
    else:
        parts = places.by_slot(group.count, offset)
    for chosen, part in parts:
        memory, base = group.cta.shared, 0
        if space != "shared":
            memory, base = memory_at(group, part, offset, WIDTH[kind], at, space)
        items, index = memory.update(group, part, offset - base, WIDTH[kind], at)
        operands = [value[chosen] for value in values]
        old[threads[chosen]] = apply(items, index, operation, kind, operands, wanted)
    return old


def apply(items, index, operation, kind, operands, wanted):
    """Run an operation on items of memory; gives their bits before each step."""
    typed = items.view(CODES[code(kind)])
    if operation == "add" and not wanted and kind not in ("f16", "bf16", "f16x2", "bf16x2"):
        np.add.at(typed, index, operands[0])
        return 0
    function = OPERATIONS[operation]
    if operation == "add" and "f16" in kind:
        function = add_halves(kind)
    old = np.empty(index.size, typed.dtype)
    for step, place in enumerate(index.tolist()):
        before = old[step] = typed[place]
        typed[place] = function(before, *(operand[step] for operand in operands))
    return old.view(items.dtype)
