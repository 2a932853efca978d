"""Bytes with views of every access width."""

import numpy as np

from .lanes import CARRIERS

u8 = np.uint64
WIDTHS = (1, 2, 4, 8, 16)
SHIFT = {width: width.bit_length() - 1 for width in WIDTHS}


class Bytes:
    """A zeroed array of bytes, `at[width]` being the same memory in items of a width."""

    def __init__(self, size):
        self.size = size
        self.raw = np.zeros(-(-size // 32) * 32, np.uint8)
        self.at = {width: self.raw.view(CARRIERS[width]) for width in WIDTHS}

    def gather(self, index, width):
        """Items as unsigned integers; sixteen bytes come as two of them."""
        found = self.at[width][index]
        return found.view(u8) if width == 16 else found

    def scatter(self, index, width, value):
        """Write what `gather` gives, or one byte everywhere."""
        if isinstance(value, int):
            value = repeated(value, width)
        elif width == 16:
            value = value.view(np.complex128)
        self.at[width][index] = value


def repeat_table():
    """For every width and byte the item that consists of that byte."""
    items = np.repeat(np.arange(256, dtype=np.uint8), 16).reshape(256, 16)
    return {w: np.ascontiguousarray(items[:, :w]).view(CARRIERS[w]).reshape(256) for w in WIDTHS}


REPEATED = repeat_table()


def repeated(byte, width):
    """An item whose every byte is the given one."""
    return REPEATED[width][byte]


def mask_of(byte, width):
    """The same as an unsigned integer, of eight bytes where the width is sixteen."""
    return REPEATED[min(width, 8)][byte]


def differing(found, wanted):
    """Which items differ in some bit; NaN differs from no NaN of the same bits."""
    rows = [np.ascontiguousarray(items).view(np.uint8) for items in (found, wanted)]
    return (rows[0] != rows[1]).reshape(len(found), -1).any(axis=1)
