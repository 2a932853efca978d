"""Matrix instructions: fragments spread over the lanes of a warp, as the PTX ISA lays them out.

Lane 4 * g + t holds, of every 8-row piece, row g (of B: column g) and the columns that t names.
Products are exact; a dot product and its addend are summed in float64 and rounded once, where the
hardware's order and intermediate width are not specified.
"""

import numpy as np

from .access import idle
from .halves import from_bf16, from_f16
from .lanes import WARP, Mask
from .places import Places

u2, u4 = np.uint16, np.uint32
f4, f8 = np.float32, np.float64
TF32_BITS = u4(0xFFFFE000)


def elements(kind, registers, count):
    """The numbers of a fragment: (register, warp, g, t, element in the register)."""
    stacked = np.empty((len(registers), count), u4)
    for row, register in zip(stacked, registers):
        row[:] = register
    if kind == "tf32":
        numbers = (stacked & TF32_BITS).view(f4)
    else:
        numbers = (from_f16 if kind == "f16" else from_bf16)(stacked.view(u2))
    return numbers.astype(f8).reshape(len(registers), count // WARP, 8, 4, -1)


def left_matrix(kind, registers, count):
    """The rows of A for every warp."""
    numbers = elements(kind, registers, count)
    warps = count // WARP
    halves = numbers.reshape(len(registers) // 2, 2, warps, 8, 4, -1)
    return halves.transpose(2, 1, 3, 0, 4, 5).reshape(warps, 16, -1)


def right_matrix(kind, registers, count):
    """The columns of B for every warp."""
    numbers = elements(kind, registers, count)
    return numbers.transpose(1, 0, 3, 4, 2).reshape(count // WARP, -1, 8)


def multiply_add(left, right, addends):
    """The registers of D = A B + C."""
    product = left @ right
    warps = len(product)
    parts = product.reshape(warps, -1, 8, 4, 2).transpose(1, 4, 0, 2, 3)
    total = parts.reshape(len(addends), warps * WARP)
    for row, addend in zip(total, addends):
        row += addend
    return total.astype(f4)


def load_matrix(group, places, offset, count, transposed, at):
    """ldmatrix: 8 by 8 matrices of 16-bit elements, one row for each of 8 lanes' addresses."""
    mask = places.mask
    if idle(places):
        return tuple(np.zeros((count, group.count), u4))
    group.need_full_warps(mask, at)
    if count < 4:
        places = givers(group, places, count)
    # The rows of each matrix are one access of 16 bytes for every lane that gives an address.
    items = group.cta.shared.load(group, places, offset, 16, at)
    warps = len(items) // (8 * count)
    matrices = items.view(u2).reshape(warps, count, 8, 8)
    if transposed:
        matrices = np.ascontiguousarray(matrices.transpose(0, 1, 3, 2))
    # Lane 4 * row + pair gets elements 2 * pair and 2 * pair + 1 of its row.
    words = matrices.view(u4).reshape(warps, count, WARP).transpose(1, 0, 2)
    words = words.reshape(count, warps * WARP)
    if mask is None:
        return tuple(words)
    whole = np.zeros((count, group.count), u4)
    whole[:, mask.index] = words
    return tuple(whole)


def givers(group, places, count):
    """The addresses of those lanes whose ones count."""
    giving = group.lane < 8 * count
    if places.mask is None:
        return Places(places.array[giving], Mask(giving))
    chosen = giving[places.mask.index]
    return Places(places.array[chosen], Mask(giving & places.mask.bits))
