"""Races on shared memory: what the warps of a block did between two barriers.

Every access is noted, and judged when a barrier of the whole block opens or the block ends. Which
of two unordered accesses came first does not matter, so all writes go into a map of bytes to warps
and everything else is held against it. Barriers of a part of the block order only that part; then
pairs of accesses are compared with vector clocks.
"""

from collections import namedtuple

import numpy as np

from .store import Bytes, mask_of

READ, WRITE, ATOMIC = range(3)
CROWD = 0xFF

Access = namedtuple("Access", "kind at index width group mask low end clocks")


class RaceLog:
    """The accesses of one block since its last barrier."""

    def __init__(self, cta, size):
        self.cta = cta
        self.size = size
        self._writer = None
        self._reads, self._writes, self._atomics = [], [], []
        self._lists = (self._reads, self._writes, self._atomics)
        self._clocks = None

    def note(self, kind, at, index, width, group, mask, low, end):
        """Remember an access to the items `index` of a width, which lie in bytes low to end."""
        access = Access(kind, at, index, width, group, mask, low, end, self._clocks)
        self._lists[kind].append(access)

    def part_barrier(self, warps):
        """A barrier of some warps opened: from here on they know what each of them did."""
        if self._clocks is None:
            count = self.cta.warps
            self._clocks = np.eye(count, dtype=np.int64)
            self._date(self._clocks)
        known = self._clocks[warps].max(axis=0)
        clocks = self._clocks.copy()
        clocks[warps] = known
        clocks[warps, warps] += 1
        self._clocks = clocks

    def _date(self, clocks):
        for accesses in self._lists:
            accesses[:] = [access._replace(clocks=clocks) for access in accesses]

    def settle(self):
        """Judge what was noted, then forget it."""
        if self._writes or self._atomics:
            if self._clocks is None:
                self._judge_all()
            else:
                self._judge_pairs()
        for accesses in self._lists:
            accesses.clear()
        self._clocks = None

    def _judge_all(self):
        if self._writer is None:
            self._writer = Bytes(self.size)
        writer = self._writer
        for access in self._writes:
            self._against(access, self._writes)
            tags = self._tags(access)
            writer.scatter(access.index, access.width, tags)
            found = writer.gather(access.index, access.width)
            if access.index.size > 1 and np.bitwise_or.reduce(found ^ tags):
                self._collision(access, access)
        low = min((access.low for access in self._writes), default=0)
        end = max((access.end for access in self._writes), default=0)
        for access in (*self._atomics, *self._reads):
            if access.low < end and low < access.end:
                self._against(access, self._writes)
        for access in self._writes:
            writer.scatter(access.index, access.width, 0)
        if self._atomics:
            self._judge_atomics()

    def _judge_atomics(self):
        """Atomics may meet each other; a read may not meet one of another warp."""
        writer = self._writer
        for access in self._atomics:
            found = writer.gather(access.index, access.width)
            tags = self._tags(access)
            crowded = mask_of(CROWD, access.width)
            tags = np.where((found == 0) | (found == tags), tags, crowded)
            writer.scatter(access.index, access.width, tags)
            lost = writer.gather(access.index, access.width) != tags
            writer.scatter(access.index[lost], access.width, CROWD)
        for access in self._reads:
            self._against(access, self._atomics)
        for access in self._atomics:
            writer.scatter(access.index, access.width, 0)

    def _tags(self, access):
        tags = access.group.tags[access.width]
        if access.mask is None:
            return tags
        if access.width == 16:
            return tags.reshape(-1, 2)[access.mask.index].ravel()
        return tags[access.mask.index]

    def _against(self, access, writes):
        found = self._writer.gather(access.index, access.width)
        if not np.bitwise_or.reduce(found):
            return
        tags = self._tags(access)
        if found.size < tags.size:
            found = np.tile(found, tags.size // found.size)
        if ((found == tags) | (found == 0)).all():
            return
        found = found.view(np.uint8)
        wrong = (found != 0) & (found != tags.view(np.uint8))
        if wrong.any():
            byte = int(np.flatnonzero(wrong)[0])
            self._collision(access, self._find(access, byte, writes), byte)

    def _bytes(self, access):
        """Byte addresses of an access and the warp of each."""
        index = np.asarray(access.index) * access.width
        warps = self._tags(access).view(np.uint8).astype(np.int64) - 1
        places = (index[:, None] + np.arange(access.width)).ravel()
        if places.size < warps.size:
            places = np.tile(places, warps.size // places.size)
        return places, warps

    def _find(self, access, byte, writes):
        """An access of another warp to the byte that an access touches."""
        own_places, own_warps = self._bytes(access)
        for other in writes:
            places, warps = self._bytes(other)
            if ((places == own_places[byte]) & (warps != own_warps[byte])).any():
                return other
        return access

    def _collision(self, access, other, byte=0):
        places, warps = self._bytes(access)
        place = int(places[byte])
        verb = ("reads", "writes", "updates")[access.kind]
        if other is access:
            others = sorted(set(warps[places == place].tolist()) - {int(warps[byte])})
            text = f"warps {others} write it in the same instruction"
        else:
            line, source = self.cta.source(other.at)
            text = f"another warp writes it at line {line} ({source})"
        thread = access.group.thread_at(access.mask, byte // access.width)
        message = f"warp {int(warps[byte])} {verb} shared byte {place}; {text}, no barrier between"
        raise self.cta.fault("race", message, access.at, thread)

    def _judge_pairs(self):
        accesses = [access for part in self._lists for access in part]
        writes = [access for access in accesses if access.kind != READ]
        for first in writes:
            places, warps = self._bytes(first)
            writer = np.full(self.size + 16, -1)
            writer[places] = warps
            for other in accesses:
                both_atomic = first.kind == other.kind == ATOMIC
                if not both_atomic and first.low < other.end and other.low < first.end:
                    self._judge_pair(first, other, writer)

    def _judge_pair(self, first, other, writer):
        places, warps = self._bytes(other)
        found = writer[places]
        before = other.clocks[warps, found] >= first.clocks[found, found]
        after = first.clocks[found, warps] >= other.clocks[warps, warps]
        wrong = (found >= 0) & (found != warps) & ~before & ~after
        if wrong.any():
            self._collision(other, first, int(np.flatnonzero(wrong)[0]))
