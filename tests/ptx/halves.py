"""16-bit floats and tf32 in numpy: bfloat16 has no numpy type, and rounding goes both ways."""

import numpy as np

from .lanes import where

u2, u4, u8 = np.uint16, np.uint32, np.uint64
f2, f4, f8 = np.float16, np.float32, np.float64


def from_bf16(bits):
    """The float32 of bfloat16 bits."""
    return (bits.astype(u4) << u4(16)).view(f4)


def to_bf16(value):
    """Bits of the nearest bfloat16, ties to even, of float32."""
    bits = value.view(u4)
    rounded = (bits + u4(0x7FFF) + ((bits >> u4(16)) & u4(1))) >> u4(16)
    return where(value != value, u4(0x7FFF), rounded).astype(u2)


def to_bf16_rz(value):
    """Bits of the bfloat16 nearest to zero."""
    return where(value != value, u4(0x7FFF), value.view(u4) >> u4(16)).astype(u2)


def to_odd_f32(value):
    """float64 cut to float32 with the last bit set where bits were lost.

    Rounding the result to any type at least two bits narrower rounds the float64 once.
    """
    near = value.astype(f4)
    back = near.astype(f8)
    bits = near.view(u4) - (abs(back) > abs(value)).astype(u4)
    lost = (back != value) & (value == value)
    return where(lost, bits | u4(1), near.view(u4)).view(f4)


def bf16_from_f64(value):
    """Bits of the nearest bfloat16 of float64, rounded once."""
    return to_bf16(to_odd_f32(value))


def from_f16(bits):
    """The float32 of float16 bits."""
    return bits.view(f2).astype(f4)


def to_f16(value):
    """Bits of the nearest float16 of float32 or float64; NaN is the canonical one."""
    bits = value.astype(f2).view(u2)
    return where(value != value, u2(0x7FFF), bits)


def to_f16_rz(value):
    """Bits of the float16 nearest to zero."""
    bits = value.astype(f2).view(u2)
    too_far = abs(bits.view(f2).astype(f8)) > abs(value.astype(f8))
    bits = where(too_far, bits - u2(1), bits)
    return where(value != value, u2(0x7FFF), bits)


def to_tf32_rna(value):
    """Bits of the nearest tf32 of float32, ties away from zero; the 13 low bits are zero."""
    bits = value.view(u4)
    return where(value != value, u4(0x7FFFFFFF), (bits + u4(0x1000)) & u4(0xFFFFE000))


def to_tf32_rn(value):
    """Bits of the nearest tf32 of float32, ties to even."""
    bits = value.view(u4)
    rounded = (bits + u4(0xFFF) + ((bits >> u4(13)) & u4(1))) & u4(0xFFFFE000)
    return where(value != value, u4(0x7FFFFFFF), rounded)


def to_tf32_rz(value):
    """Bits of the tf32 nearest to zero."""
    return where(value != value, u4(0x7FFFFFFF), value.view(u4) & u4(0xFFFFE000))


def round_f32(value, mode):
    """float64 to float32 towards zero ("rz"), minus ("rm") or plus infinity ("rp")."""
    near = value.astype(f4)
    back = near.astype(f8)
    if mode == "rz":
        wrong, towards = abs(back) > abs(value), f4(0)
    elif mode == "rm":
        wrong, towards = back > value, f4(-np.inf)
    else:
        wrong, towards = back < value, f4(np.inf)
    return where(wrong, np.nextafter(near, towards), near)


def flush(value):
    """Subnormal float32 as zero of the same sign."""
    return where(abs(value) < f4(2.0**-126), np.copysign(f4(0), value), value)


def saturate(value):
    """Clamped to [0, 1], NaN as 0."""
    kind = value.dtype.type
    return where(value > 0, np.minimum(value, kind(1)), kind(0))
