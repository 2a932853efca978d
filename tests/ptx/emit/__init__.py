"""How each opcode is written in Python: one module for each family of instructions."""

from . import (
    arithmetic,
    control,
    convert,
    floats,
    halves,
    logic,
    memory,
    move,
    tensor,
    warp,
)
from .registry import EMITTERS
from .runtime import runtime_names
