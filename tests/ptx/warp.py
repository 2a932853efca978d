"""Shuffles, votes and other exchanges between the lanes of a warp."""

import numpy as np

from .lanes import WARP, spread

u4, i8 = np.uint32, np.int64
EVERYONE = 0xFFFFFFFF
WEIGHTS = u4(1) << np.arange(WARP, dtype=u4)


def rows(values, group, fill=0):
    """Values with a row of 32 for each warp."""
    padded = np.full(group.warps * WARP, fill, values.dtype)
    padded[: group.count] = values
    return padded.reshape(group.warps, WARP)


def running(group, mask):
    """Whether each lane runs the instruction, a row for each warp."""
    bits = np.ones(group.count, np.bool_) if mask is None else mask.bits
    return rows(bits, group)


def words(flags):
    """Rows of flags as one 32-bit word for each warp."""
    return (flags * WEIGHTS).sum(axis=1, dtype=u4)


def per_lane(values, group):
    """One value a warp, given to each of its lanes."""
    return np.repeat(values, WARP)[: group.count]


def active_lanes(group, mask):
    """activemask."""
    return per_lane(words(running(group, mask)), group)


def need_members(group, members, mask, at):
    """Fault unless the lanes named by the member mask, and only they, run the instruction."""
    if mask is None and members.__class__ is not np.ndarray and members == EVERYONE:
        return
    active = running(group, mask)
    live = rows(~group.exited, group)
    named = rows(spread(members, group.count), group)
    lanes = np.arange(WARP, dtype=u4)
    stranger = active & ((named >> lanes) & u4(1) == 0)
    wanted = np.zeros_like(active)
    for warp in np.flatnonzero(active.any(axis=1)):
        for word in np.unique(named[warp][active[warp]]):
            wanted[warp] |= (word >> lanes) & u4(1) != 0
    missing = wanted & live & ~active
    if stranger.any():
        message = "a lane runs this that the member mask does not name"
        raise group.fault("divergence", message, at, stranger.ravel()[: group.count])
    if missing.any():
        message = "a lane that the member mask names does not run this with the others"
        raise group.fault("divergence", message, at, missing.ravel()[: group.count])


def source_lanes(mode, lane, b, c):
    """For every lane the lane it reads from, and whether that one lies in its segment."""
    distance = (b & u4(31)).astype(i8)
    clamp = (c & u4(31)).astype(i8)
    segment = ((c >> u4(8)) & u4(31)).astype(i8)
    lane = lane.astype(i8)
    last = (lane & segment) | (clamp & ~segment)
    if mode == "up":
        source = lane - distance
        inside = source >= last
    else:
        source = {
            "down": lane + distance,
            "bfly": lane ^ distance,
            "idx": (lane & segment) | (distance & ~segment),
        }[mode]
        inside = source <= last
    return np.where(inside, source, lane), inside


def source_places(group, mode, b, c):
    """The same as places in the group."""
    source, inside = source_lanes(mode, group.lane, b, c)
    return group.warp_start + source, inside


def shuffle(group, mode, value, b, c, members, mask, at):
    """shfl.sync."""
    need_members(group, members, mask, at)
    if value.__class__ is not np.ndarray:
        value = spread(value, group.count)
    if b.__class__ is np.ndarray or c.__class__ is np.ndarray:
        place, inside = source_places(group, mode, b, c)
    else:
        place, inside = group.cta.launch.remember(
            ("shuffle", mode, int(b), int(c), group.count),
            lambda: source_places(group, mode, b, c),
        )
    if mask is not None or group.count % WARP:
        active = running(group, mask).ravel()
        silent = ~active[place] & active[: group.count]
        if silent.any():
            message = "a lane reads from one that does not take part"
            raise group.fault("divergence", message, at, silent)
        place = np.minimum(place, group.count - 1)
    return value[place], inside


def vote(group, mode, predicate, members, mask, at):
    """vote.sync."""
    need_members(group, members, mask, at)
    active = running(group, mask)
    held = words(rows(spread(predicate, group.count), group) & active)
    held = per_lane(held, group) & members
    if mode == "ballot":
        return held
    everyone = per_lane(words(active), group) & members
    if mode == "all":
        return held == everyone
    if mode == "any":
        return held != 0
    return (held == 0) | (held == everyone)


REDUCTIONS = {
    "add": np.add,
    "min": np.minimum,
    "max": np.maximum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}


def redux(group, mode, value, members, mask, at):
    """redux.sync."""
    need_members(group, members, mask, at)
    values = rows(spread(value, group.count), group)
    named = rows(spread(members, group.count), group)
    result = np.zeros_like(values)
    active = running(group, mask)
    for warp in np.flatnonzero(active.any(axis=1)):
        for word in np.unique(named[warp][active[warp]]):
            lanes = active[warp] & (named[warp] == word)
            result[warp][lanes] = REDUCTIONS[mode].reduce(values[warp][lanes])
    return result.ravel()[: group.count]


def match(group, mode, value, members, mask, at):
    """match.sync: the lanes that hold the same value; for `all` also whether they all do."""
    need_members(group, members, mask, at)
    values = rows(spread(value, group.count), group)
    active = running(group, mask)
    same = (values[:, :, None] == values[:, None, :]) & active[:, None, :]
    found = (same * WEIGHTS).sum(axis=2, dtype=u4).ravel()[: group.count] & members
    if mode == "any":
        return found, found != 0
    everyone = per_lane(words(active), group) & members
    agree = found == everyone
    return np.where(agree, everyone, u4(0)), agree


def elect(group, members, mask, at):
    """elect.sync: the lowest lane of the members leads."""
    need_members(group, members, mask, at)
    named = spread(members, group.count)
    lowest = np.bitwise_count((named & (~named + u4(1))) - u4(1)).astype(u4)
    return lowest, group.lane == lowest


def agreed(group, value, mask, at):
    """The one count of threads that those at a barrier name, or None."""
    if value is None or value.__class__ is not np.ndarray:
        return None if value is None else int(value)
    values = value if mask is None else value[mask.index]
    if (values != values[0]).any():
        message = "threads at one barrier name different counts of threads"
        raise group.cta.fault("divergence", message, at, group.thread_at(mask, 0))
    return int(values[0])


def trap(group, mask, at):
    """trap, or a failed assertion."""
    if mask is None or mask:
        thread = group.thread_at(mask, 0)
        raise group.cta.fault("trap", "the kernel stopped itself", at, thread)


class Delivery:
    """Where the result of a barrier with a reduction goes."""

    def __init__(self, group, slot, kind, unproven):
        self.group = group
        self.slot = slot
        self.kind = kind
        self.unproven = unproven

    def __call__(self, mask, held, total):
        value = {
            "popc": u4(held),
            "and": np.bool_(held == total),
            "or": np.bool_(held > 0),
        }[self.kind]
        registers, group = self.group.registers, self.group
        if mask is None:
            registers[self.slot] = value
        else:
            registers[self.slot] = np.where(mask.bits, value, registers[self.slot])
        if self.unproven:
            known = group.defined[self.slot]
            group.defined[self.slot] = True if mask is None else known | mask.bits
