"""The types of PTX, and the numpy types that hold them."""

import numpy as np

WIDTH = {
    **{f"{letter}{bits}": bits // 8 for letter in "bus" for bits in (8, 16, 32, 64)},
    "b128": 16,
    "f16": 2,
    "bf16": 2,
    "tf32": 4,
    "f16x2": 4,
    "bf16x2": 4,
    "u16x2": 4,
    "s16x2": 4,
    "f32": 4,
    "f64": 8,
    "pred": 1,
}

FLOATS = {"f32", "f64"}
HALVES = {"f16", "bf16", "f16x2", "bf16x2"}
PACKED = {"f16x2", "bf16x2", "u16x2", "s16x2"}

CODES = {
    "u1": np.uint8,
    "u2": np.uint16,
    "u4": np.uint32,
    "u8": np.uint64,
    "i1": np.int8,
    "i2": np.int16,
    "i4": np.int32,
    "i8": np.int64,
    "f2": np.float16,
    "f4": np.float32,
    "f8": np.float64,
    "c16": np.complex128,
    "bool_": np.bool_,
}


def is_type(word):
    """Whether a modifier names a type."""
    return word in WIDTH


def is_signed(kind):
    return kind[0] == "s"


def is_integer(kind):
    return kind[0] in "bus" and kind not in PACKED and not kind.startswith("bf")


def code(kind):
    """The numpy code of a value of the type: floats of 16 bits are held as bits."""
    if kind == "pred":
        return "bool_"
    if kind in FLOATS:
        return f"f{WIDTH[kind]}"
    return f"{'i' if is_signed(kind) and kind not in PACKED else 'u'}{WIDTH[kind]}"


def bits(kind):
    """The numpy code of the raw bits of a type."""
    return "bool_" if kind == "pred" else f"u{WIDTH[kind]}"


def storage(kind):
    """The numpy code in which a register declared with the type is held."""
    return code(kind) if kind in FLOATS or kind == "pred" else bits(kind)
