"""What the lanes of a warp tell one another."""

from ..kinds import code
from ..syntax import Pair, Sink
from .registry import emits


@emits("shfl", "sync up down bfly idx")
def shuffle(w, item, types, words):
    d, a, b, c, members = item.operands
    first, second = (d.first, d.second) if isinstance(d, Pair) else (d, Sink())
    mode = next(word for word in words if word != "sync")
    value, inside = w.name(), w.name()
    arguments = ", ".join(w.use(operand, "u4") for operand in (a, b, c, members))
    w.line(f"{value}, {inside} = shuffle(g, {mode!r}, {arguments}, {w.mask}, {w.at})")
    w.define(first, value, "u4")
    w.define(second, inside, "bool_")


@emits("vote", "sync all any uni ballot")
def vote(w, item, types, words):
    d, a, members = item.operands
    mode = next(word for word in words if word != "sync")
    value = f"vote(g, {mode!r}, {w.use(a, 'bool_')}, {w.use(members, 'u4')}, {w.mask}, {w.at})"
    w.define(d, value, "u4" if mode == "ballot" else "bool_")


@emits("redux", "sync add min max and or xor")
def reduce(w, item, types, words):
    d, a, members = item.operands
    typed = code(types[-1])
    mode = next(word for word in words if word != "sync")
    value = f"redux(g, {mode!r}, {w.use(a, typed)}, {w.use(members, 'u4')}, {w.mask}, {w.at})"
    w.define(d, value, typed)


@emits("activemask")
def active_mask(w, item, types, words):
    w.define(item.operands[0], f"active_lanes(g, {w.mask})", "u4")


@emits("match", "sync any all")
def match(w, item, types, words):
    d, a, members = item.operands
    first, second = (d.first, d.second) if isinstance(d, Pair) else (d, Sink())
    value, same = w.name(), w.name()
    mode = next(word for word in words if word != "sync")
    arguments = f"{w.use(a, code(types[-1]))}, {w.use(members, 'u4')}"
    w.line(f"{value}, {same} = match(g, {mode!r}, {arguments}, {w.mask}, {w.at})")
    w.define(first, value, "u4")
    w.define(second, same, "bool_")


@emits("elect", "sync")
def elect(w, item, types, words):
    d, members = item.operands
    first, second = (d.first, d.second) if isinstance(d, Pair) else (d, Sink())
    lane, chosen = w.name(), w.name()
    w.line(f"{lane}, {chosen} = elect(g, {w.use(members, 'u4')}, {w.mask}, {w.at})")
    w.define(first, lane, "u4")
    w.define(second, chosen, "bool_")
