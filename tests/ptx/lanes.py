"""Values of all threads at once: arrays, or numpy scalars where every thread holds the same."""

from functools import cached_property

import numpy as np

WARP = 32


def where(condition, a, b):
    """numpy.where that gives a scalar, not an array without dimensions, for three scalars."""
    if condition.__class__ is np.bool_:
        return a if condition else b
    result = np.where(condition, a, b)
    return result if result.ndim else result[()]


def spread(value, count):
    """A value as an array of `count` threads."""
    return value if value.__class__ is np.ndarray else np.full(count, value)


class Mask:
    """The threads of a group that run an instruction, where that is not all of them."""

    def __init__(self, bits):
        self.bits = bits

    @cached_property
    def index(self):
        """Places of the active threads."""
        return self.bits.nonzero()[0]

    @cached_property
    def key(self):
        """The mask as something that can be compared and hashed."""
        return self.bits.tobytes()

    @cached_property
    def by_warp(self):
        """The mask with a row for each warp, the last one padded by inactive lanes."""
        count = len(self.bits)
        warps = -(-count // WARP)
        padded = np.zeros(warps * WARP, np.bool_)
        padded[:count] = self.bits
        return padded.reshape(warps, WARP)

    @cached_property
    def warps(self):
        """How many warps have an active thread."""
        return int(self.by_warp.any(axis=1).sum())

    def __bool__(self):
        return bool(self.index.size)


def narrow(mask, predicate, count):
    """The threads of `mask` (None: all `count`) for which the predicate holds."""
    if predicate.__class__ is np.bool_:
        return mask if predicate else Mask(np.zeros(count, np.bool_))
    return Mask(predicate if mask is None else predicate & mask.bits)


def pack(values, count, code):
    """Registers side by side: rows of a vector store, as one item for each thread."""
    rows = np.empty((count, len(values)), code)
    for column, value in enumerate(values):
        rows[:, column] = value
    return rows.view(CARRIERS[rows.dtype.itemsize * len(values)]).reshape(count)


def unpack(items, parts, code):
    """What `pack` joined, as one array for each register."""
    if items.__class__ is not np.ndarray:
        return tuple(np.array([items]).view(code))
    return tuple(np.ascontiguousarray(items.view(code).reshape(-1, parts).T))


CARRIERS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64, 16: np.complex128}
