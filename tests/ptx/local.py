"""Local memory: an array of bytes for each thread."""

import numpy as np

from .store import SHIFT, Bytes, mask_of

STRIDE = 16


class LocalMemory:
    """The local variables of a group's threads, laid one thread after another."""

    def __init__(self, group, size):
        self.group = group
        self.size = size
        self.stride = -(-size // STRIDE) * STRIDE
        self._data = self._valid = None

    def _locate(self, places, offset, width, at):
        group = self.group
        if self._data is None:
            self._data = Bytes(self.stride * group.count)
            self._valid = Bytes(self.stride * group.count)
        array = places.array + offset
        wrong = (array < 0) | (array + width > self.size)
        if wrong.any():
            self._fault("out-of-bounds", places, offset, width, wrong, at)
        wrong = array & (width - 1) != 0
        if wrong.any():
            self._fault("misaligned", places, offset, width, wrong, at)
        threads = group.everyone if places.mask is None else places.mask.index
        return (threads * self.stride + array) >> SHIFT[width]

    def _fault(self, kind, places, offset, width, wrong, at):
        position = int(np.flatnonzero(wrong)[0])
        place = places.at(position, offset)
        message = f"{width} bytes at local address {place}, of {self.size} bytes"
        thread = self.group.thread_at(places.mask, position)
        raise self.group.cta.fault(kind, message, at, thread)

    def load(self, group, places, offset, width, at):
        """Items of the active threads."""
        index = self._locate(places, offset, width, at)
        found = self._valid.gather(index, width)
        if np.bitwise_and.reduce(found) != mask_of(0xFF, width):
            wrong = ~found.view(np.uint8).reshape(-1, width).all(axis=1)
            self._fault("uninitialised", places, offset, width, wrong, at)
        return self._data.at[width][index]

    def store(self, group, places, offset, value, width, at):
        """Write items."""
        index = self._locate(places, offset, width, at)
        self._data.at[width][index] = value
        self._valid.scatter(index, width, 0xFF)
