"""Constant memory and kernel parameters: bytes that never change during a launch."""

import numpy as np

from .store import SHIFT, Bytes


class FixedMemory:
    """Read-only bytes at addresses from 0."""

    def __init__(self, name, contents):
        self.name = name
        self.size = len(contents)
        self._data = Bytes(self.size)
        self._data.raw[: self.size] = np.frombuffer(contents, np.uint8)

    def load(self, group, places, offset, width, at):
        """Items at the places."""
        if places.uniform:
            place = places.first + offset
            if 0 <= place <= self.size - width and place % width == 0:
                index = place >> SHIFT[width]
                return self._data.at[width][index : index + 1]
        array = places.array + offset
        wrong = (array < 0) | (array + width > self.size)
        if wrong.any():
            self._fault("out-of-bounds", group, places, offset, width, wrong, at)
        wrong = array & (width - 1) != 0
        if wrong.any():
            self._fault("misaligned", group, places, offset, width, wrong, at)
        return self._data.at[width][array >> SHIFT[width]]

    def store(self, group, places, offset, value, width, at):
        """Nothing may write here."""
        self._fault("read-only", group, places, offset, width, np.ones(1, bool), at)

    def _fault(self, kind, group, places, offset, width, wrong, at):
        position = int(np.flatnonzero(wrong)[0])
        place = places.at(position, offset)
        message = f"{width} bytes at {self.name} address {place}, of {self.size}"
        raise group.cta.fault(kind, message, at, group.thread_at(places.mask, position))
