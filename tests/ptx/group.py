"""A group of warps that run together: their registers, and where each thread stands."""

import numpy as np

from .copies import AsyncCopies
from .lanes import WARP, Mask
from .local import LocalMemory
from .store import REPEATED, WIDTHS


class Group:
    """Threads `first` to `first + count` of a block, a whole number of warps unless it is the last.

    `ready` maps the places in the program to the threads that stand there, None for all of them.
    """

    def __init__(self, cta, first, count):
        self.cta = cta
        self.program = cta.program
        self.stats = cta.launch.stats
        self.patterns = cta.launch.patterns
        self.first = first
        self.count = count
        self.warps = -(-count // WARP)
        self.threads = np.arange(first, first + count, dtype=np.uint32)
        self.everyone = np.arange(count)
        self.lane = self.threads % np.uint32(WARP)
        self.warp_start = np.arange(count) // WARP * WARP
        self.tags = self._tags()
        self.special = cta.special_registers(self.threads)
        self.registers = list(self.program.initial_registers)
        self.defined = [False] * len(self.registers)
        self.exited = np.zeros(count, np.bool_)
        self.exits = 0
        self.copies = AsyncCopies(self)
        self.local = LocalMemory(self, self.program.local_size)
        self.ready = {0: None}
        self.executed = 0

    def _tags(self):
        """For every width the number of each thread's warp, from 1, in every byte."""
        warp = self.threads // WARP + 1
        tags = {width: REPEATED[width][warp] for width in WIDTHS}
        tags[16] = tags[16].view(np.uint64)
        return tags

    def thread_at(self, mask, position):
        """The thread that stands at a place among the active ones."""
        if mask is None:
            return self.first + position
        return self.first + int(mask.index[min(position, mask.index.size - 1)])

    def fault(self, kind, message, at, wrong=None):
        """A fault of the first thread marked in `wrong`."""
        thread = None if wrong is None else self.first + int(np.flatnonzero(wrong)[0])
        return self.cta.fault(kind, message, at, thread)

    def run(self, quantum):
        """Run basic blocks, at most `quantum`, until every thread waits or is gone."""
        ready, blocks, issued = self.ready, self.program.blocks, self.stats.issued
        while ready and quantum:
            quantum -= 1
            place = min(ready)
            mask = ready.pop(place)
            block = blocks[place]
            self.executed += block.size
            if mask is None:
                issued[place] += self.warps
                outcome = block.whole(self, self.registers, self.defined, None)
            else:
                issued[place] += mask.warps
                outcome = block.masked(self, self.registers, self.defined, mask)
            block.leave(self, mask, outcome)
            if self.executed > self.cta.launch.instruction_limit:
                message = f"more than {self.cta.launch.instruction_limit} instructions in a thread"
                raise self.cta.fault("runaway", message, block.last, self.thread_at(mask, 0))

    def arrive(self, place, mask):
        """Threads come to a place in the program."""
        if place not in self.ready:
            self.ready[place] = mask
            return
        bits = self.ready[place].bits | mask.bits
        self.ready[place] = None if bits.all() else Mask(bits)

    def split(self, mask, predicate, taken, following):
        """Threads part: those for which the predicate holds go to `taken`."""
        if predicate.__class__ is np.bool_:
            self.arrive(taken if predicate else following, mask)
            return
        if mask is None:
            held = np.count_nonzero(predicate)
            if held in (0, self.count):
                self.arrive(taken if held else following, None)
                return
            yes, no = predicate, ~predicate
        else:
            yes, no = mask.bits & predicate, mask.bits & ~predicate
        if yes.any():
            self.arrive(taken, Mask(yes) if no.any() else mask)
        if no.any():
            self.arrive(following, Mask(no) if yes.any() else mask)

    def exit(self, mask):
        """Threads end."""
        if mask is None:
            self.exited[:] = True
        else:
            self.exited |= mask.bits
        self.exits += 1
        self.cta.left(self.count if mask is None else mask.index.size)

    def need_defined(self, defined, mask, at, name):
        """Fault where a thread reads a register that it never wrote."""
        if defined is True:
            return
        wrong = np.ones(self.count, np.bool_) if mask is None else mask.bits.copy()
        if defined is not False:
            wrong &= ~defined
        if wrong.any():
            message = f"register {name} is read but nothing wrote it"
            raise self.fault("undefined-register", message, at, wrong)

    def need_warps(self, mask, at):
        """Fault unless every warp that runs has all its threads, but for those that ended."""
        if mask is None or getattr(mask, "whole_since", None) == self.exits:
            return
        rows = mask.by_warp
        live = Mask(~self.exited).by_warp
        wrong = (rows != live) & rows.any(axis=1)[:, None]
        if wrong.any():
            message = "a part of a warp runs what the whole warp must run together"
            raise self.fault("divergence", message, at, wrong.ravel()[: self.count])
        mask.whole_since = self.exits

    def need_full_warps(self, mask, at):
        """Fault unless every warp that runs has all 32 threads."""
        self.need_warps(mask, at)
        if self.count % WARP or (mask is not None and self.exited.any()):
            rows = np.zeros(self.warps * WARP, np.bool_)
            rows[: self.count] = True if mask is None else mask.bits
            rows = rows.reshape(-1, WARP)
            short = rows.any(axis=1) & ~rows.all(axis=1)
            if short.any():
                message = "a warp without all its 32 threads runs a matrix instruction"
                wrong = (short[:, None] & rows).ravel()[: self.count]
                raise self.fault("divergence", message, at, wrong)

    def count_shared(self, at, pattern, mask):
        """Count an access of shared memory."""
        self.stats.count_shared(at, pattern, self._scale(pattern, mask))

    def count_global(self, at, pattern, width, mask, buffer, store):
        """Count an access of global memory."""
        active = self.count if mask is None else mask.index.size
        scale = self._scale(pattern, mask)
        self.stats.count_global(at, pattern, scale, active * width, buffer, store)

    def _scale(self, pattern, mask):
        """How many warps make the access that the pattern describes once."""
        if pattern.placed.size > 1:
            return 1
        return self.warps if mask is None else mask.warps
