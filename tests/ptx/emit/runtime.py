"""What written functions call."""

import types

import numpy as np

from .. import (
    access,
    atomics,
    copy_start,
    halves,
    integers,
    lanes,
    places,
    rounding,
    tensor,
    warp,
)

MODULES = (access, atomics, copy_start, halves, integers, lanes, places, rounding, tensor, warp)


def runtime_names():
    """Every function of the runtime modules by its name."""
    names = {"np": np, "signbit": np.signbit, "isfinite": np.isfinite}
    for module in MODULES:
        for name, value in vars(module).items():
            if isinstance(value, (types.FunctionType, type)) and name[0] != "_":
                names[name] = value
    names["joined"] = joined
    return names


def joined(defined, mask):
    """The threads that have written a register, with those of a mask added."""
    if mask is None or defined is True:
        return True
    return mask.bits if defined is False else defined | mask.bits
