"""Integer operations that numpy lacks; all take and give unsigned bits unless named signed."""

import numpy as np

from .lanes import where

u1, u2, u4, u8 = np.uint8, np.uint16, np.uint32, np.uint64
i4, i8 = np.int32, np.int64


def high_u64(a, b):
    """Upper 64 bits of the product of unsigned 64-bit numbers."""
    low = u8(0xFFFFFFFF)
    shift = u8(32)
    a0, a1, b0, b1 = a & low, a >> shift, b & low, b >> shift
    middle = a1 * b0 + (a0 * b0 >> shift)
    other = a0 * b1 + (middle & low)
    return a1 * b1 + (middle >> shift) + (other >> shift)


def high_i64(a, b):
    """Upper 64 bits of the product of signed 64-bit numbers."""
    high = high_u64(a.view(u8), b.view(u8)).view(i8)
    return high - where(a < 0, b, i8(0)) - where(b < 0, a, i8(0))


def divide(a, b):
    """Quotient rounded towards zero, of either signedness, divisors not zero."""
    if a.dtype.kind == "u":
        return a // b
    kind = a.dtype.type
    quotient = a // where(b == -1, kind(1), b)
    quotient = quotient + ((quotient < 0) & (quotient * b != a)).astype(kind)
    return where(b == -1, -a, quotient)


def remainder(a, b):
    """What `divide` leaves."""
    return a - divide(a, b) * b


def shift_right(a, amount):
    """Right shift, amounts beyond the width filling with the sign or zeros."""
    width = a.dtype.itemsize * 8
    kind = a.dtype.type
    far = amount >= width
    small = where(far, amount.dtype.type(width - 1), amount).astype(kind)
    shifted = a >> small
    return shifted if a.dtype.kind == "i" else where(far, kind(0), shifted)


def shift_left(a, amount):
    """Left shift, amounts beyond the width giving zero."""
    width = a.dtype.itemsize * 8
    kind = a.dtype.type
    small = np.minimum(amount, amount.dtype.type(width - 1)).astype(kind)
    return where(amount >= width, kind(0), a << small)


def funnel(low, high, amount, left, clamp):
    """32 bits of the 64-bit number high:low shifted by an amount that wraps or is clamped."""
    amount = np.minimum(amount, u4(32)) if clamp else amount & u4(31)
    amount = amount.astype(u8)
    whole = (high.astype(u8) << u8(32)) | low.astype(u8)
    if left:
        return ((whole << amount) >> u8(32)).astype(u4)
    return (whole >> amount).astype(u4)


def population(a):
    """Number of set bits."""
    return np.bitwise_count(a).astype(u4)


def leading_zeros(a):
    """Number of zeros above the highest set bit."""
    width = a.dtype.itemsize * 8
    kind = a.dtype.type
    shift = 1
    while shift < width:
        a = a | (a >> kind(shift))
        shift *= 2
    return (width - np.bitwise_count(a).astype(i4)).astype(u4)


def find_high(a, shift_amount):
    """bfind: place of the highest set bit, of a signed number the highest that differs from the
    sign; all ones where there is none. With `shift_amount` the left shift that brings it up."""
    if a.dtype.kind == "i":
        a = where(a < 0, ~a, a).view(f"u{a.dtype.itemsize}")
    zeros = leading_zeros(a)
    width = a.dtype.itemsize * 8
    found = zeros if shift_amount else u4(width - 1) - zeros
    return where(a == 0, u4(0xFFFFFFFF), found)


def reverse_bits(a):
    """The bits in opposite order."""
    kind = a.dtype.type
    width = a.dtype.itemsize * 8
    for shift, mask in ((1, 0x55), (2, 0x33), (4, 0x0F)):
        mask = kind(int.from_bytes(bytes([mask] * (width // 8)), "little"))
        a = ((a >> kind(shift)) & mask) | ((a & mask) << kind(shift))
    return a.byteswap()


def extract(a, start, length):
    """bfe: a bit field, extended by its sign where `a` is signed."""
    width = a.dtype.itemsize * 8
    raw = a.view(f"u{a.dtype.itemsize}")
    kind = raw.dtype.type
    start = start & u4(0xFF)
    length = length & u4(0xFF)
    mask = low_mask(length, kind)
    field = shift_right(raw, start) & mask
    if a.dtype.kind == "u":
        return field
    last = np.minimum(start.astype(i4) + length.astype(i4) - 1, width - 1)
    sign = shift_right(raw, np.maximum(last, 0).astype(u4)) & kind(1)
    held = np.minimum(i4(width) - start.astype(i4), length.astype(i4))
    fill = ~low_mask(np.maximum(held, 0).astype(u4), kind)
    return where((length != 0) & (sign != 0), field | fill, field).view(a.dtype)


def low_mask(length, kind):
    """A number of ones from bit 0 up, all of them where the length reaches the width."""
    width = kind().itemsize * 8
    return where(length >= width, ~kind(0), shift_left(kind(1), length) - kind(1))


def insert(a, b, start, length):
    """bfi: the low bits of `a` put into `b`."""
    kind = a.dtype.type
    start = start & u4(0xFF)
    length = length & u4(0xFF)
    mask = shift_left(low_mask(length, kind), start)
    return (b & ~mask) | (shift_left(a, start) & mask)


def extend(a, position, wrap):
    """szext: `a` cut to its low bits and extended by sign or zeros."""
    position = position & u4(31) if wrap else np.minimum(position, u4(32))
    return extract(a, u4(0), position)


def permute(a, b, selector, mode):
    """prmt: four bytes chosen from eight."""
    whole = (b.astype(u8) << u8(32)) | a.astype(u8)
    if mode is None:
        picks = [(selector >> u4(4 * k)) & u4(15) for k in range(4)]
    else:
        picks = [PERMUTATIONS[mode](selector & u4(3), u4(k)) for k in range(4)]
    result = u4(0)
    for k, pick in enumerate(picks):
        byte = (whole >> ((pick & u4(7)).astype(u8) << u8(3))).astype(u4) & u4(0xFF)
        if mode is None:
            sign = where(byte & u4(0x80), u4(0xFF), u4(0))
            byte = where(pick & u4(8), sign, byte)
        result = result | (byte << u4(8 * k))
    return result


PERMUTATIONS = {
    "f4e": lambda s, k: s + k,
    "b4e": lambda s, k: (s - k) & u4(7),
    "rc8": lambda s, k: s,
    "ecl": lambda s, k: np.maximum(s, k),
    "ecr": lambda s, k: np.minimum(s, k),
    "rc16": lambda s, k: ((s & u4(1)) << u4(1)) + (k & u4(1)),
}


def three_input(a, b, c, table):
    """lop3: any function of three bits by its truth table."""
    result = a & a.dtype.type(0)
    for index in range(8):
        if table >> index & 1:
            x = a if index & 4 else ~a
            y = b if index & 2 else ~b
            z = c if index & 1 else ~c
            result = result | (x & y & z)
    return result


def saturated(value, kind):
    """An int64 or wider float clamped to the integers of `kind`."""
    limits = np.iinfo(kind)
    return np.clip(value, limits.min, limits.max).astype(kind)


def dot_bytes(a, b, c, signed_a, signed_b):
    """dp4a: sum of products of bytes, added to c."""
    total = c.astype(i8)
    for shift in range(0, 32, 8):
        total = total + byte_at(a, shift, signed_a) * byte_at(b, shift, signed_b)
    return total.astype(u4)


def byte_at(a, shift, signed):
    """One byte of a word as a signed 64-bit number."""
    byte = (a >> u4(shift)).astype(u1)
    return byte.view(np.int8).astype(i8) if signed else byte.astype(i8)


def divisor(group, value, mask, at):
    """A divisor, after the check that no active thread divides by zero; idle ones get 1."""
    zero = value == 0
    if not zero.any():
        return value
    wrong = zero & (True if mask is None else mask.bits)
    if wrong.any():
        message = "an integer division by zero"
        raise group.fault("division-by-zero", message, at, np.broadcast_to(wrong, group.count))
    return where(zero, value.dtype.type(1), value)
