"""cp.async: copies that a thread starts, gathers in groups and waits for."""

from collections import namedtuple

import numpy as np

from .lanes import Mask

Copy = namedtuple("Copy", "at index value width mask threads groups newest sources low end")


class AsyncCopies:
    """The copies under way of one group of threads."""

    def __init__(self, group):
        self.group = group
        self.committed = np.zeros(group.count, np.int64)
        self.under_way = []

    def start(self, at, index, value, width, mask, sources, low, end):
        """A copy of every thread in the mask; `sources` can tell whether its bytes changed."""
        threads = self.group.everyone if mask is None else mask.index
        groups = self.committed[threads]
        newest = int(groups.max())
        self.under_way.append(
            Copy(at, index, value, width, mask, threads, groups, newest, sources, low, end)
        )

    def commit(self, mask):
        """Close the current group of every thread in the mask."""
        if mask is None:
            self.committed += 1
        else:
            self.committed[mask.index] += 1

    def wait(self, mask, pending):
        """Land all but the newest `pending` groups of the waiting threads; None: every copy."""
        if not self.under_way:
            return
        limit = self._limit(mask, pending)
        lowest = int(limit.min())
        left = []
        for copy in self.under_way:
            done = True if copy.newest < lowest else copy.groups < limit[copy.threads]
            if done is True or done.all():
                self._land(copy)
            elif done.any():
                self._land(self._part(copy, done))
                left.append(self._part(copy, ~done))
            else:
                left.append(copy)
        self.under_way = left

    def _limit(self, mask, pending):
        """For every thread the number that groups must be below to land."""
        if pending is None:
            limit = np.full(self.group.count, np.iinfo(np.int64).max)
        else:
            limit = self.committed - pending
        return limit if mask is None else np.where(mask.bits, limit, -1)

    def _part(self, copy, chosen):
        bits = np.zeros(self.group.count, np.bool_)
        bits[copy.threads[chosen]] = True
        return copy._replace(
            index=copy.index[chosen],
            value=copy.value[chosen],
            mask=Mask(bits),
            threads=copy.threads[chosen],
            groups=copy.groups[chosen],
        )

    def _land(self, copy):
        for source in copy.sources:
            source.check_unchanged(self.group, copy.at)
        self.group.cta.shared.land(self.group, copy)
