"""Branches, barriers and what ends a thread."""

from .registry import CACHE_WORDS, emits, unsupported


@emits("bra", "uni")
def branch(w, item, types, words):
    if item.guard:
        register, negated = item.guard
        value = w.use(register, "bool_")
        w.result = f"~{value}" if negated else value


@emits("brx", "idx uni")
def indexed_branch(w, item, types, words):
    w.result = w.use(item.operands[0], "u4")


@emits("ret exit", "uni")
def leave(w, item, types, words):
    """The block's end does it."""


@emits("trap brkpt")
def trap(w, item, types, words):
    w.line(f"trap(g, {w.mask}, {w.at})")


@emits("bar barrier", "sync arrive red warp aligned cta popc and or")
def barrier(w, item, types, words):
    if "warp" in words:
        w.line(f"need_members(g, {w.use(item.operands[0], 'u4')}, {w.mask}, {w.at})")
        return
    operands = list(item.operands)
    deliver = "None"
    if "red" in words:
        deliver = reduction(w, operands, types, words)
    number = w.use(operands[0], "u4")
    count = w.use(operands[1], "u4") if len(operands) > 1 else "None"
    w.result = f"({number}, agreed(g, {count}, m, {w.at}), {deliver})"


def reduction(w, operands, types, words):
    """Predicate and receiver of a barrier that also reduces."""
    d = operands.pop(0)
    predicate = w.use(operands.pop(), "bool_")
    slot = w.program.slots.get(d.name)
    if slot is None:
        return f"({predicate}, None)"
    kind = next(word for word in words if word in ("popc", "and", "or"))
    return f"({predicate}, Delivery(g, {slot}, {kind!r}, {d.name in w.program.unproven}))"


NOTHING = {"sc", "cta", "gpu", "sys", "gl", "cluster", "acq_rel", "launch_dependents", "wait"}


@emits("membar fence nanosleep griddepcontrol pmevent discard applypriority", NOTHING | CACHE_WORDS)
def nothing(w, item, types, words):
    """Memory is always up to date here, and time does not pass."""
    if item.opcode == "fence" and "proxy" in words:
        unsupported("fence.proxy")
