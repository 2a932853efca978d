"""Loads and stores as the instructions name them."""

import numpy as np

from .buffers import ScatteredError
from .lanes import CARRIERS, spread
from .layout import SLOT_BITS, SPACE_OF_SLOT, WINDOWS
from .places import each


def delivered(group, places, value):
    """Items of the active threads as a value of all threads."""
    if places.uniform and value.size == 1:
        return value[0]
    if places.mask is None:
        return value
    whole = np.zeros(group.count, value.dtype)
    whole[places.mask.index] = value
    return whole


def nothing(group, width):
    """What a load gives that no thread runs."""
    return np.zeros(group.count, CARRIERS[width])


def idle(places):
    """Whether no thread takes part."""
    return places.mask is not None and not places.mask


def active_values(group, value, mask):
    """The items that the active threads store."""
    value = spread(value, group.count)
    return value if mask is None else value[mask.index]


def load_shared(group, places, offset, width, at):
    """ld.shared."""
    if idle(places):
        return nothing(group, width)
    value = group.cta.shared.load(group, places, offset, width, at)
    return delivered(group, places, value)


def store_shared(group, places, offset, value, width, at):
    """st.shared."""
    if idle(places):
        return
    value = active_values(group, value, places.mask)
    group.cta.shared.store(group, places, offset, value, width, at)


def load_global(group, places, offset, width, at, constant=False):
    """ld.global."""
    if idle(places):
        return nothing(group, width)
    return delivered(group, places, read_global(group, places, offset, width, at, constant))


def read_global(group, places, offset, width, at, constant=False):
    """Items at global addresses, most often all in one buffer."""
    buffer = group.cta.launch.buffers.get((places.first + offset) >> SLOT_BITS)
    if buffer is not None:
        try:
            return buffer.load(group, places, offset, width, at, constant)
        except ScatteredError:
            pass
    return read_scattered(group, places, offset, width, at, "global")


def read_scattered(group, places, offset, width, at, space):
    """Items at addresses that may lie in several buffers, or outside of all."""
    if places.one_slot():
        memory, base = memory_at(group, places, offset, width, at, space)
        return memory.load(group, places, offset - base, width, at)
    value = np.zeros(places.array.size, CARRIERS[width])
    for chosen, part in places.by_slot(group.count, offset):
        memory, base = memory_at(group, part, offset, width, at, space)
        value[chosen] = memory.load(group, part, offset - base, width, at)
    return value


def memory_at(group, places, offset, width, at, space):
    """The memory that addresses of one slot lie in, and what to subtract from them."""
    launch = group.cta.launch
    slot = (places.first + offset) >> SLOT_BITS
    window = SPACE_OF_SLOT.get(slot) if space == "generic" else None
    if window == "shared":
        return group.cta.shared, WINDOWS[window]
    if window == "local":
        return group.local, WINDOWS[window]
    if window is not None:
        return (launch.constants if window == "const" else launch.parameters), WINDOWS[window]
    if slot not in launch.buffers:
        address = places.first + offset
        message = f"{width} bytes at address {address:#x}, where no buffer is"
        thread = group.thread_at(places.mask, 0)
        raise group.cta.fault("out-of-bounds", message, at, thread)
    return launch.buffers[slot], 0


def store_global(group, places, offset, value, width, at):
    """st.global."""
    if idle(places):
        return
    buffer = group.cta.launch.buffers.get((places.first + offset) >> SLOT_BITS)
    if buffer is not None:
        try:
            items = active_values(group, value, places.mask)
            buffer.store(group, places, offset, items, width, at)
            return
        except ScatteredError:
            pass
    store_scattered(group, places, offset, value, width, at, "global")


def store_scattered(group, places, offset, value, width, at, space):
    """A store to global or generic addresses."""
    if idle(places):
        return
    value = active_values(group, value, places.mask)
    if places.one_slot():
        memory, base = memory_at(group, places, offset, width, at, space)
        memory.store(group, places, offset - base, value, width, at)
        return
    for chosen, part in places.by_slot(group.count, offset):
        memory, base = memory_at(group, part, offset, width, at, space)
        memory.store(group, part, offset - base, value[chosen], width, at)


def load_generic(group, places, offset, width, at):
    """ld without a state space; one address in local memory means a byte in every thread."""
    if idle(places):
        return nothing(group, width)
    if SPACE_OF_SLOT.get((places.first + offset) >> SLOT_BITS) == "local":
        places = each(group, places)
    return delivered(group, places, read_scattered(group, places, offset, width, at, "generic"))


def store_generic(group, places, offset, value, width, at):
    """st without a state space."""
    store_scattered(group, places, offset, value, width, at, "generic")


def load_local(group, places, offset, width, at):
    """ld.local: the same address means another byte in every thread."""
    if idle(places):
        return nothing(group, width)
    places = each(group, places)
    return delivered(group, places, group.local.load(group, places, offset, width, at))


def store_local(group, places, offset, value, width, at):
    """st.local."""
    if not idle(places):
        value = active_values(group, value, places.mask)
        group.local.store(group, places, offset, value, width, at)


def load_const(group, places, offset, width, at):
    """ld.const."""
    return load_fixed(group, group.cta.launch.constants, places, offset, width, at)


def load_param(group, places, offset, width, at):
    """ld.param of a kernel's parameter."""
    return load_fixed(group, group.cta.launch.parameters, places, offset, width, at)


def load_fixed(group, memory, places, offset, width, at):
    """A load from memory that never changes."""
    if idle(places):
        return nothing(group, width)
    return delivered(group, places, memory.load(group, places, offset, width, at))


def address_in(space, address):
    """isspacep: whether generic addresses lie in a space."""
    slot = address >> np.uint64(SLOT_BITS)
    if space == "global":
        return slot > np.uint64(WINDOWS["param"] >> SLOT_BITS)
    return slot == np.uint64(WINDOWS[space] >> SLOT_BITS)
