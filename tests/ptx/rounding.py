"""Conversions between numbers, and the functions PTX approximates."""

import numpy as np

from .lanes import where

u2, u4, u8 = np.uint16, np.uint32, np.uint64
f4, f8 = np.float32, np.float64

TO_INTEGER = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}


def float_to_integer(value, kind, mode, nan_is_top):
    """A float rounded by mode and clamped to an integer type; NaN as 0 or as the top bit."""
    limits = np.iinfo(kind)
    whole = TO_INTEGER[mode](value)
    low, high = f8(limits.min), f8(limits.max)
    whole = whole.astype(f8)
    inside = (whole >= low) & (whole < high)
    result = where(inside, whole, f8(0)).astype(kind)
    result = where(whole >= high, kind(limits.max), result)
    result = where(whole < low, kind(limits.min), result)
    top = kind(limits.min) if limits.min else kind(1 << (limits.bits - 1))
    return where(value != value, top if nan_is_top else kind(0), result)


def integer_to_float(value, kind, mode):
    """An integer as float32 or float64, rounded by mode."""
    near = value.astype(kind)
    if mode == "rn":
        return near
    below, above = compare_exactly(near, value)
    if mode == "rz":
        wrong = (above & (near > 0)) | (below & (near < 0))
        return where(wrong, np.nextafter(near, kind(0)), near)
    wrong, towards = (above, -np.inf) if mode == "rm" else (below, np.inf)
    return where(wrong, np.nextafter(near, kind(towards)), near)


def compare_exactly(near, value):
    """Whether floats lie below or above 64-bit integers that they came from."""
    whole = np.asarray(value).astype(object)
    floats = np.asarray(near).astype(f8)
    exact = np.frompyfunc(int, 1, 1)(floats)
    return (exact < whole).astype(bool), (exact > whole).astype(bool)


def minimum(a, b):
    """The smaller; a number beats NaN, and -0 is smaller than +0."""
    return ordered(np.fmin(a, b), a, b, np.bitwise_or)


def maximum(a, b):
    """The larger; a number beats NaN, and +0 is larger than -0."""
    return ordered(np.fmax(a, b), a, b, np.bitwise_and)


def ordered(chosen, a, b, join):
    """An extreme with its zeros and NaN put right, where it has any."""
    if not chosen.all():
        bits = u4 if chosen.dtype == f4 else u8
        zeros = join(a.view(bits), b.view(bits)).view(chosen.dtype)
        chosen = where((a == 0) & (b == 0), zeros, chosen)
    return canonical(chosen) if np.isnan(chosen).any() else chosen


def canonical(value):
    """NaN as the one that the hardware makes."""
    if value.dtype == f4:
        return where(value != value, u4(0x7FFFFFFF).view(f4), value)
    return where(value != value, u8(0x7FFFFFFFFFFFFFFF).view(f8), value)


def minimum_nan(a, b):
    """The smaller, NaN if either is."""
    return where((a != a) | (b != b), canonical(a + b), minimum(a, b))


def maximum_nan(a, b):
    """The larger, NaN if either is."""
    return where((a != a) | (b != b), canonical(a + b), maximum(a, b))


def through_f64(function):
    """A float32 function taken in float64 and rounded once."""

    def apply(value):
        return function(value.astype(f8)).astype(f4)

    return apply


exp2_f32 = through_f64(np.exp2)
log2_f32 = through_f64(np.log2)
sin_f32 = through_f64(np.sin)
cos_f32 = through_f64(np.cos)
tanh_f32 = through_f64(np.tanh)


def reciprocal_f64(value):
    """1 / x."""
    return f8(1) / value


def root_f64(value):
    """The square root."""
    return np.sqrt(value)


def inverse_root_f64(value):
    """1 / sqrt(x)."""
    return f8(1) / np.sqrt(value)


reciprocal_f32 = through_f64(reciprocal_f64)
root_f32 = through_f64(root_f64)
inverse_root_f32 = through_f64(inverse_root_f64)


def test_property(value, word):
    """testp."""
    if word == "nan":
        return value != value
    finite = np.isfinite(value)
    if word == "finite":
        return finite
    if word == "infinite":
        return np.isinf(value)
    if word == "number":
        return value == value
    tiny = abs(value) < np.finfo(value.dtype).tiny
    if word == "normal":
        return finite & ~tiny
    return finite & tiny & (value != 0)


def relu(value):
    """Negative numbers as 0, NaN as the canonical NaN."""
    return where(value != value, canonical(value), where(value > 0, value, value.dtype.type(0)))


def to_whole(value, mode):
    """A float rounded to a whole number."""
    return TO_INTEGER[mode](value)
