"""How a cp.async begins: the destination is taken, the source read."""

import numpy as np

from .access import idle, read_global
from .lanes import CARRIERS
from .layout import SLOT_BITS
from .places import Places, part_mask
from .store import SHIFT


def start_copy(group, into, shift, source, offset, size, amount, at):
    """cp.async: `amount` bytes of the source, the rest of `size` zeros."""
    mask = into.mask
    if idle(into):
        return
    index, low, end = group.cta.shared.begin_copy(group, into, shift, size, at)
    watches = []
    if amount.__class__ is np.ndarray:
        taken = amount if mask is None else amount[mask.index]
        value = np.zeros(into.array.size, CARRIERS[size])
        for bytes_read in np.unique(taken).tolist():
            chosen = taken == bytes_read
            part = source
            if not chosen.all():
                part = Places(source.array[chosen], part_mask(group.count, mask, chosen))
            if bytes_read:
                value[chosen] = read_source(group, part, offset, size, bytes_read, at, watches)
    elif amount:
        value = read_source(group, source, offset, size, int(amount), at, watches)
    else:
        value = np.zeros(into.array.size, CARRIERS[size])
    group.copies.start(at, index, value, size, mask, watches, low, end)


def read_source(group, places, offset, size, amount, at, watches):
    """The bytes of a copy's source, filled up with zeros."""
    if amount > size:
        message = f"cp.async of {size} bytes asked for {amount} of its source"
        raise group.cta.fault("out-of-bounds", message, at, group.thread_at(places.mask, 0))
    if amount == size:
        value = read_global(group, places, offset, size, at)
    else:
        value = read_part(group, places, offset, size, amount, at)
    launch = group.cta.launch
    if not places.one_slot() or launch.buffers[places.first + offset >> SLOT_BITS].writable:
        watches.append(Watch(places, offset, size, amount, value.copy()))
    return value


def read_part(group, places, offset, size, amount, at):
    """Fewer bytes than the copy's size, which is still what the source must be aligned to."""
    wrong = (places.array + offset) % size != 0
    if wrong.any():
        position = int(np.flatnonzero(wrong)[0])
        message = f"cp.async of {size} bytes from {places.at(position, offset):#x}"
        raise group.cta.fault("misaligned", message, at, group.thread_at(places.mask, position))
    rows = np.zeros((places.array.size, size), np.uint8)
    for byte in range(amount):
        rows[:, byte] = read_global(group, places, offset + byte, 1, at)
    return rows.view(CARRIERS[size]).reshape(-1)


class Watch:
    """The source of a copy under way, which may not change before the wait."""

    def __init__(self, places, offset, width, amount, value):
        self.places = places
        self.offset = offset
        self.width = width
        self.amount = amount
        self.value = value

    def check_unchanged(self, group, at):
        """Fault if the source is not what it was when the copy started."""
        for chosen, part in self.places.by_slot(group.count, self.offset):
            place = part.array + self.offset
            buffer = group.cta.launch.buffers[int(place[0]) >> SLOT_BITS]
            now = buffer.data.at[self.width][place - buffer.slot_base >> SHIFT[self.width]]
            rows = [
                items.view(np.uint8).reshape(-1, self.width) for items in (now, self.value[chosen])
            ]
            wrong = (rows[0] != rows[1])[:, : self.amount].any(axis=1)
            if wrong.any():
                position = int(wrong.argmax())
                message = f"offset {place[position] - buffer.address} of {buffer.name!r} is "
                message += "overwritten while a cp.async from it is under way"
                thread = group.thread_at(part.mask, position)
                raise group.cta.fault("pending-copy", message, at, thread)
