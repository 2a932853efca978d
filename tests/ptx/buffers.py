"""Global memory: buffers, and who touched which of their bytes."""

import numpy as np

from .layout import ALIGNMENT, SLOT
from .store import SHIFT, Bytes, differing, mask_of

VALID, WROTE, READ, UPDATED = 1, 2, 4, 8
NOW = 3
WROTE_NOW, READ_NOW, UPDATED_NOW = WROTE << NOW, READ << NOW, UPDATED << NOW
ALL_NOW = WROTE_NOW | READ_NOW | UPDATED_NOW


class ScatteredError(Exception):
    """The threads of an access name more than one buffer."""


class Buffer:
    """A range of global memory that the kernel may touch.

    Every byte has marks: whether it holds a value, and whether this block or an earlier one wrote,
    read or atomically updated it.
    """

    def __init__(self, name, slot, contents, writable, alignment_offset=0):
        initialised = not isinstance(contents, (int, np.integer))
        if initialised:
            contents = np.ascontiguousarray(contents)
        self.name = name
        self.size = contents.nbytes if initialised else int(contents)
        self.writable = writable
        self.first = alignment_offset % ALIGNMENT
        self.end = self.first + self.size
        self.slot_base = slot * SLOT
        self.address = self.slot_base + self.first
        self.data = Bytes(self.end)
        self.marks = Bytes(self.end)
        self.plain = initialised and not writable
        self._low, self._high = self.end, 0
        if initialised:
            self._inside(self.data)[:] = contents.reshape(-1).view(np.uint8)
            self._inside(self.marks)[:] = VALID

    def _inside(self, store):
        return store.raw[self.first : self.end]

    def array(self, dtype):
        """A copy of the contents."""
        return self._inside(self.data).copy().view(dtype)

    def unwritten(self):
        """Number of bytes that hold no value."""
        return int(np.count_nonzero(self._inside(self.marks) & VALID == 0))

    def touched(self):
        """Number of bytes read, and of bytes written, in the last launch."""
        marks = self._inside(self.marks)
        read = np.count_nonzero(marks & (READ | READ_NOW | UPDATED | UPDATED_NOW))
        wrote = np.count_nonzero(marks & (WROTE | WROTE_NOW | UPDATED | UPDATED_NOW))
        return int(read), int(wrote)

    def begin_launch(self):
        """Forget who touched what."""
        self.marks.raw &= np.uint8(VALID)
        self._low, self._high = self.end, 0

    def end_block(self):
        """What the current block did becomes what an earlier one did."""
        if self._low >= self._high or self.plain:
            return
        marks = self.marks.raw[self._low & -8 : self._high + 7 & -8].view(np.uint64)
        now = marks & mask_of(ALL_NOW, 8)
        marks ^= now
        marks |= now >> np.uint64(NOW)
        self._low, self._high = self.end, 0

    def _cover(self, low, end):
        self._low = min(self._low, low)
        self._high = max(self._high, end)

    def _locate(self, group, places, offset, width, at, store):
        """Indices of items at addresses in this buffer's slot, after the checks; counts them."""
        pattern, start = group.patterns.find(places, offset, width)
        start -= self.slot_base
        low, end = start + pattern.low, start + pattern.end
        if pattern.misaligned:
            message = f"{width} bytes at offset {{}} of buffer {self.name!r}"
            wrong = (places.array + offset) % width != 0
            self._fault("misaligned", message, group, places, offset, wrong, at)
        if low < self.first or end > self.end:
            if not places.one_slot():
                raise ScatteredError
            place = places.array + (offset - self.address)
            wrong = (place < 0) | (place + width > self.size)
            message = f"{width} bytes at offset {{}} of buffer {self.name!r}, {self.size} bytes"
            self._fault("out-of-bounds", message, group, places, offset, wrong, at)
        if store and not self.writable:
            message = f"a write to offset {{}} of buffer {self.name!r}, which is read-only"
            self._fault("read-only", message, group, places, offset, np.ones(1, bool), at)
        self._cover(low, end)
        group.count_global(at, pattern, width, places.mask, self, store)
        return (places.array + (offset - self.slot_base)) >> SHIFT[width], pattern

    def _fault(self, kind, message, group, places, offset, wrong, at):
        position = int(np.flatnonzero(wrong)[0])
        place = places.at(position, offset) - self.address
        thread = group.thread_at(places.mask, position)
        raise group.cta.fault(kind, message.format(place), at, thread)

    def _forbid(self, flag, kind, message, group, places, offset, width, marks, at):
        """Fault if a byte has one of some marks."""
        if np.bitwise_or.reduce(marks) & mask_of(flag, width):
            wrong = (marks.view(np.uint8).reshape(-1, width) & flag).any(axis=1)
            message = f"{message} offset {{}} of buffer {self.name!r}"
            self._fault(kind, message, group, places, offset, wrong, at)

    def _need_valid(self, message, group, places, offset, width, marks, at):
        valid = mask_of(VALID, width)
        if np.bitwise_and.reduce(marks) & valid != valid:
            self._forbid(VALID, "uninitialised", message, group, places, offset, width, ~marks, at)

    def load(self, group, places, offset, width, at, constant=False):
        """Items at the places; `constant` marks a load through the read-only path."""
        index, _ = self._locate(group, places, offset, width, at, False)
        if self.plain:
            self.marks.scatter(index, width, VALID | READ_NOW)
            return self.data.at[width][index]
        marks = self.marks.gather(index, width)
        spot = (group, places, offset, width, marks, at)
        self._need_valid(f"{width} bytes are read, not all of them written, at", *spot)
        self._forbid(WROTE, "block-race", "another block wrote what this one reads at", *spot)
        if constant:
            flags = WROTE_NOW | UPDATED_NOW | UPDATED
            self._forbid(flags, "block-race", "ld.nc of what this launch writes, at", *spot)
        self.marks.scatter(index, width, marks | mask_of(READ_NOW, width))
        return self.data.at[width][index]

    def store(self, group, places, offset, value, width, at):
        """Write items."""
        index, pattern = self._locate(group, places, offset, width, at, True)
        marks = self.marks.gather(index, width)
        spot = (group, places, offset, width, marks, at)
        others = WROTE | READ | UPDATED
        self._forbid(others, "block-race", "another block touched what this one writes at", *spot)
        self.marks.scatter(index, width, marks | mask_of(VALID | WROTE_NOW, width))
        self.data.at[width][index] = value
        if pattern.duplicates and (self.data.at[width][index] != value).any():
            wrong = differing(self.data.at[width][index], value)
            message = f"different values written to offset {{}} of {self.name!r} in one instruction"
            if wrong.any():
                self._fault("conflicting-write", message, group, places, offset, wrong, at)

    def update(self, group, places, offset, width, at):
        """Check and mark an atomic; gives the items' indices for the caller to work on."""
        index, _ = self._locate(group, places, offset, width, at, True)
        marks = self.marks.gather(index, width)
        spot = (group, places, offset, width, marks, at)
        self._need_valid("an atomic meets bytes that nothing wrote at", *spot)
        self._forbid(WROTE, "block-race", "another block wrote, without an atomic,", *spot)
        self.marks.scatter(index, width, marks | mask_of(UPDATED_NOW, width))
        return self.data.at[width], index
