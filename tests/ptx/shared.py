"""Shared memory of one block: bytes, which of them hold a value, and copies under way."""

import numpy as np

from .races import ATOMIC, READ, WRITE, RaceLog
from .store import SHIFT, Bytes, differing, mask_of

NAN_BYTE = 0xFF


class SharedMemory:
    """The shared memory of one block."""

    def __init__(self, cta, size):
        self.cta = cta
        self.size = size
        self.data = Bytes(size)
        self.valid = Bytes(size)
        self.pending = Bytes(size)
        self.copies_under_way = 0
        self.log = RaceLog(cta, size)

    def _locate(self, kind, group, places, offset, width, at):
        """Indices of items after the checks of bounds and alignment; notes and counts the access.

        Also gives the pattern of the addresses, and the bytes they lie between.
        """
        pattern, start = group.patterns.find(places, offset, width)
        low, end = start + pattern.low, start + pattern.end
        if pattern.misaligned:
            message = f"{width} bytes at shared address {{}}"
            wrong = (places.array + offset) % width != 0
            self._fault("misaligned", message, group, places, offset, wrong, at)
        if low < 0 or end > self.size:
            array = places.array + offset
            message = f"{width} bytes at shared address {{}}, of {self.size} bytes in this launch"
            wrong = (array < 0) | (array + width > self.size)
            self._fault("out-of-bounds", message, group, places, offset, wrong, at)
        index = (places.array + offset if offset else places.array) >> SHIFT[width]
        self.log.note(kind, at, index, width, group, places.mask, low, end)
        group.count_shared(at, pattern, places.mask)
        return index, pattern, low, end

    def _fault(self, kind, message, group, places, offset, wrong, at):
        position = int(np.flatnonzero(wrong)[0])
        thread = group.thread_at(places.mask, position)
        raise self.cta.fault(kind, message.format(places.at(position, offset)), at, thread)

    def load(self, group, places, offset, width, at):
        """Items at the places."""
        index, *_ = self._locate(READ, group, places, offset, width, at)
        found = self.valid.gather(index, width)
        if np.bitwise_and.reduce(found) != mask_of(0xFF, width):
            self._invalid(group, places, offset, index, width, at)
        return self.data.at[width][index]

    def _invalid(self, group, places, offset, index, width, at):
        """The fault of a read of bytes without a value."""
        wrong = ~self._rows(self.valid, index, width).all(axis=1)
        pending = self._rows(self.pending, index, width).any(axis=1)
        if pending.any():
            message = "shared address {} is read before the wait of the cp.async that fills it"
            self._fault("pending-copy", message, group, places, offset, pending, at)
        message = f"{width} bytes read at shared address {{}}, not all of them written"
        self._fault("uninitialised", message, group, places, offset, wrong, at)

    @staticmethod
    def _rows(flags, index, width):
        return flags.gather(index, width).view(np.uint8).reshape(-1, width)

    def _no_copy_under_way(self, group, places, offset, index, width, at):
        if not self.copies_under_way:
            return
        if np.bitwise_or.reduce(self.pending.gather(index, width)):
            wrong = self._rows(self.pending, index, width).any(axis=1)
            message = "shared address {} is overwritten while a cp.async to it is under way"
            self._fault("pending-copy", message, group, places, offset, wrong, at)

    def store(self, group, places, offset, value, width, at):
        """Write items."""
        index, pattern, *_ = self._locate(WRITE, group, places, offset, width, at)
        self._no_copy_under_way(group, places, offset, index, width, at)
        self.data.at[width][index] = value
        self.valid.scatter(index, width, 0xFF)
        if pattern.duplicates and (self.data.at[width][index] != value).any():
            wrong = differing(self.data.at[width][index], value)
            message = "different values written to shared address {} in one instruction"
            if wrong.any():
                self._fault("conflicting-write", message, group, places, offset, wrong, at)

    def update(self, group, places, offset, width, at):
        """Check and note an atomic; gives the items' indices for the caller to work on."""
        index, *_ = self._locate(ATOMIC, group, places, offset, width, at)
        self._no_copy_under_way(group, places, offset, index, width, at)
        if np.bitwise_and.reduce(self.valid.gather(index, width)) != mask_of(0xFF, width):
            self._invalid(group, places, offset, index, width, at)
        return self.data.at[width], index

    def begin_copy(self, group, places, offset, width, at):
        """Mark the destination of a cp.async as full of NaN until its wait.

        Gives the indices of its items, and the bytes they lie between.
        """
        index, pattern, low, end = self._locate(WRITE, group, places, offset, width, at)
        self._no_copy_under_way(group, places, offset, index, width, at)
        if pattern.duplicates:
            order = np.sort(places.array)
            wrong = np.isin(places.array, order[1:][order[1:] == order[:-1]])
            message = "two cp.async of one instruction write shared address {}"
            self._fault("conflicting-write", message, group, places, offset, wrong, at)
        self.data.scatter(index, width, NAN_BYTE)
        self.valid.scatter(index, width, 0)
        self.pending.scatter(index, width, 1)
        self.copies_under_way += len(index)
        return index, low, end

    def land(self, group, copy):
        """The end of a cp.async: the bytes are there for the thread that waited."""
        index, width = copy.index, copy.width
        self.log.note(WRITE, copy.at, index, width, group, copy.mask, copy.low, copy.end)
        self.data.at[width][index] = copy.value
        self.valid.scatter(index, width, 0xFF)
        self.pending.scatter(index, width, 0)
        self.copies_under_way -= len(index)
