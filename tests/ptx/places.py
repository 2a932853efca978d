"""Addresses of one access: where every active thread reads or writes."""

import numpy as np

from .lanes import Mask
from .layout import SLOT_BITS


class Places:
    """Addresses of the active threads (`mask`; None: all) before the instruction's offset.

    `array` has one item for each of them, or a single one where all name the same place. `key`
    tells how the addresses lie to the first, and is the same for every access of that shape.
    """

    __slots__ = ("array", "first", "key", "mask", "uniform")

    def __init__(self, array, mask, uniform=False):
        self.array = array
        self.mask = mask
        self.uniform = uniform
        self.first = int(array[0]) if array.size else 0
        self.key = (array - self.first).tobytes()
        if mask is not None and array.size > 1:
            self.key += mask.key

    def at(self, position, offset):
        """The address of one active thread, by its place among them."""
        return int(self.array[min(position, self.array.size - 1)]) + offset

    def one_slot(self):
        """Whether all addresses share a slot of the address space."""
        return self.array.size == 1 or not np.any((self.array ^ self.array[0]) >> SLOT_BITS)

    def by_slot(self, count, offset):
        """Split by the slot: (chosen, places) for each, of `count` threads."""
        slots = (self.array + offset) >> SLOT_BITS
        for slot in np.unique(slots):
            chosen = slots == slot
            yield chosen, Places(self.array[chosen], part_mask(count, self.mask, chosen))


def locate(group, address, mask):
    """The Places of a load, all threads at one place staying one item."""
    if address.__class__ is not np.ndarray:
        number = int(address.view(np.int32) if address.itemsize == 4 else address)
        return Places(np.array([number]), mask, True)
    # A 32-bit address may be negative until the offset is added.
    places = address.view(np.int64) if address.itemsize == 8 else address.view(np.int32)
    if mask is not None:
        places = places[mask.index]
    return Places(places.astype(np.int64, copy=False), mask)


def each(group, places):
    """Places with an item for every active thread."""
    if not places.uniform:
        return places
    active = group.count if places.mask is None else places.mask.index.size
    return Places(np.repeat(places.array, active), places.mask)


def locate_each(group, address, mask):
    """The Places of a store, atomic or copy: an item for every active thread."""
    return each(group, locate(group, address, mask))


def part_mask(count, mask, chosen):
    """The mask of some of the active threads."""
    if chosen.all():
        return mask
    bits = np.zeros(count, np.bool_)
    bits[np.flatnonzero(chosen) if mask is None else mask.index[chosen]] = True
    return Mask(bits)
