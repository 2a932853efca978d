"""One block of a launch: its groups of warps, their barriers and the order they run in."""

from collections import namedtuple

import numpy as np

from .fault import Fault
from .group import Group
from .lanes import WARP, spread
from .shared import SharedMemory

Waiter = namedtuple("Waiter", "group mask place at deliver")
QUANTUM = 1 << 30
SHUFFLED_QUANTUM = 4


class Cta:
    """A block while it runs."""

    def __init__(self, launch, block):
        self.launch = launch
        self.program = launch.program
        self.block = block
        self.threads = launch.threads
        self.warps = -(-launch.threads // WARP)
        self.live = launch.threads
        self.shared = SharedMemory(self, launch.shared_size)
        self.barriers = {}
        size = self.threads if launch.order == "lockstep" else WARP
        starts = range(0, self.threads, size)
        self.groups = [Group(self, start, min(size, self.threads - start)) for start in starts]

    def special_registers(self, threads):
        """Values of the special registers, arrays where they differ between threads."""
        launch = self.launch
        u4 = np.uint32
        values = {}
        rest, block = threads, self.block
        for axis, extent, blocks in zip("xyz", launch.block, launch.grid):
            values[f"tid.{axis}"] = rest % u4(extent) if extent > 1 else u4(0)
            values[f"ntid.{axis}"] = u4(extent)
            values[f"ctaid.{axis}"] = u4(block % blocks)
            values[f"nctaid.{axis}"] = u4(blocks)
            rest, block = rest // u4(extent), block // blocks
        lane = threads % u4(WARP)
        bit = u4(1) << lane
        lower = bit - u4(1)
        values.update(
            {
                "laneid": lane,
                "warpid": threads // u4(WARP),
                "nwarpid": u4(self.warps),
                "lanemask_eq": bit,
                "lanemask_lt": lower,
                "lanemask_le": lower | bit,
                "lanemask_gt": ~(lower | bit),
                "lanemask_ge": ~lower,
                "smid": u4(0),
                "nsmid": u4(1),
                "gridid": np.uint64(0),
                "dynamic_smem_size": u4(launch.dynamic_shared),
                "total_smem_size": u4(launch.shared_size),
            }
        )
        return values

    def source(self, at):
        """PTX line number and text of an instruction."""
        item = self.program.instructions[at]
        return item.line, item.text

    def fault(self, kind, message, at, thread=None):
        """The fault of an instruction of this block."""
        line, text = (None, "") if at is None else self.source(at)
        return Fault(
            kind,
            message,
            kernel=self.launch.kernel.name,
            block=self.block,
            thread=thread,
            line=line,
            text=text,
        )

    def run(self):
        """Run every thread to its end."""
        turn = self._shuffled if self.launch.order == "shuffled" else self._in_order
        while any(group.ready for group in self.groups):
            turn()
        if self.barriers:
            self._deadlock()
        self.shared.log.settle()

    def _in_order(self):
        groups = self.groups if self.launch.order != "backward" else self.groups[::-1]
        for group in groups:
            group.run(QUANTUM)

    def _shuffled(self):
        random = self.launch.random
        ready = [group for group in self.groups if group.ready]
        ready[random.integers(len(ready))].run(int(random.integers(1, SHUFFLED_QUANTUM + 1)))

    def _deadlock(self):
        number, (_, waiters) = next(iter(self.barriers.items()))
        waiter = waiters[0]
        count = sum(self._size(waiter) for waiter in waiters)
        message = f"{count} threads wait at barrier {number}, which never opens"
        thread = waiter.group.thread_at(waiter.mask, 0)
        raise self.fault("deadlock", message, waiter.at, thread)

    @staticmethod
    def _size(waiter):
        return waiter.group.count if waiter.mask is None else waiter.mask.index.size

    def wait(self, group, mask, place, at, number, count, aligned, deliver=None):
        """Threads come to a barrier; `place` is where they go on, None for bar.arrive."""
        if aligned:
            group.need_warps(mask, at)
        if count is not None and (count % WARP or count == 0):
            message = f"a barrier of {count} threads, which is no whole number of warps"
            raise self.fault("launch", message, at, group.thread_at(mask, 0))
        waiters = self.barriers.setdefault(number, (count, []))[1]
        waiters.append(Waiter(group, mask, place, at, deliver))
        self._open_if_complete(number)

    def left(self, threads):
        """Threads ended: barriers of the whole block wait for fewer."""
        self.live -= threads
        for number in list(self.barriers):
            self._open_if_complete(number)

    def _open_if_complete(self, number):
        count, waiters = self.barriers[number]
        arrived = sum(self._size(waiter) for waiter in waiters)
        if count is None:
            complete = arrived >= self.live
        else:
            complete = sum(self._warps(waiter).size for waiter in waiters) * WARP >= count
        if not complete:
            return
        del self.barriers[number]
        if arrived >= self.live:
            self.shared.log.settle()
        else:
            warps = np.concatenate([self._warps(waiter) for waiter in waiters])
            self.shared.log.part_barrier(np.unique(warps))
        if any(waiter.deliver for waiter in waiters):
            self._reduce(waiters)
        for waiter in waiters:
            if waiter.place is not None:
                waiter.group.arrive(waiter.place, waiter.mask)

    @staticmethod
    def _warps(waiter):
        group = waiter.group
        first = group.first // WARP
        if waiter.mask is None:
            return np.arange(first, first + group.warps)
        return first + np.flatnonzero(waiter.mask.by_warp.any(axis=1))

    def _reduce(self, waiters):
        """bar.red: every thread learns about the predicates of all."""
        held = total = 0
        for waiter in waiters:
            predicate = spread(waiter.deliver[0], waiter.group.count)
            active = predicate if waiter.mask is None else predicate & waiter.mask.bits
            held += int(np.count_nonzero(active))
            total += self._size(waiter)
        for waiter in waiters:
            waiter.deliver[1](waiter.mask, held, total)
