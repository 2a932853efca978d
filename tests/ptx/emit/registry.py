"""The table of opcodes."""

from ..refusal import Unsupported

EMITTERS = {}

CACHE_WORDS = {
    *("ca", "cg", "cs", "lu", "cv", "wb", "wt", "nc"),
    *("volatile", "relaxed", "acquire", "release", "acq_rel", "weak", "mmio"),
    *("cta", "gpu", "sys", "cluster"),
    *(f"L1::{word}" for word in ("evict_normal", "evict_unchanged", "evict_first", "evict_last")),
    *(f"L2::{word}" for word in ("evict_normal", "evict_first", "evict_last", "cache_hint")),
    *("L1::no_allocate", "L2::64B", "L2::128B", "L2::256B"),
}


def emits(opcodes, words=""):
    """Register a function as the writer of opcodes, with the modifiers that it knows.

    It is called with the block's writer, the instruction, its types and its other modifiers.
    """

    def register(function):
        for opcode in opcodes.split():
            assert opcode not in EMITTERS, opcode
            EMITTERS[opcode] = (function, set(words.split() if isinstance(words, str) else words))
        return function

    return register


def unsupported(message):
    """Refuse an instruction."""
    raise Unsupported(message)
