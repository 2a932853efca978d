"""How the addresses of one access lie to one another: measured once for each shape of access."""

from functools import cached_property

import numpy as np

from .lanes import WARP

BANKS = 32
SECTOR = 32
PERIOD = 128
LIMIT = 1 << 14


PLACE_BITS = 48


def pair(group, place):
    """Two numbers in one, the place being possibly negative."""
    return (group << PLACE_BITS) + (place + (1 << PLACE_BITS - 1))


def distinct(numbers):
    """The different numbers of an array in order."""
    ordered = np.sort(numbers)
    first = np.ones(ordered.size, np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


class Pattern:
    """The addresses of an access, counted from a multiple of 128 bytes."""

    def __init__(self, placed, width, threads):
        self.placed = placed
        self.width = width
        self.threads = np.arange(len(placed)) if threads is None else threads
        self.low = int(placed.min())
        self.end = int(placed.max()) + width
        self.misaligned = bool(np.bitwise_or.reduce(placed) & (width - 1))

    @cached_property
    def duplicates(self):
        """Whether two threads name one address."""
        return distinct(self.placed).size < self.placed.size

    @cached_property
    def sectors(self):
        """Sectors of 32 bytes requested, each warp by itself."""
        return distinct(pair(self.threads // WARP, self.placed // SECTOR)).size

    @cached_property
    def ideal_sectors(self):
        """The fewest sectors that could hold the different bytes each warp asked for."""
        asked = distinct(pair(self.threads // WARP, self.placed)) >> PLACE_BITS
        return int((-(-np.bincount(asked) * self.width // SECTOR)).sum())

    @cached_property
    def wavefronts(self):
        """Passes over the banks of shared memory, and the fewest possible.

        A warp asks in phases: whole for up to four bytes a lane, by halves for eight, by quarters
        for sixteen. In a phase every word is fetched once, and a bank gives one word a pass.
        """
        words = max(1, self.width // 4)
        phase = self.threads // (WARP // words)
        word = (self.placed // 4)[:, None] + np.arange(words)
        asked = distinct(pair(np.repeat(phase, words), word.ravel()))
        load = np.bincount((asked >> PLACE_BITS) * BANKS + asked % BANKS)
        load = np.pad(load, (0, -load.size % BANKS)).reshape(-1, BANKS).max(axis=1)
        return int(load.sum()), int(np.count_nonzero(load))

    @property
    def conflicts(self):
        """Passes beyond the fewest."""
        passes, fewest = self.wavefronts
        return passes - fewest


class Patterns:
    """Patterns met so far."""

    def __init__(self):
        self._known = {}

    def find(self, places, offset, width):
        """The pattern of an access and the address it counts from."""
        first = places.first + offset
        remainder = first % PERIOD
        key = (width, remainder, places.key)
        pattern = self._known.get(key)
        if pattern is None:
            if len(self._known) >= LIMIT:
                self._known.clear()
            placed = places.array - (places.first - remainder)
            mask = None if placed.size == 1 else places.mask
            pattern = Pattern(placed, width, None if mask is None else mask.index)
            self._known[key] = pattern
        return pattern, first - remainder
