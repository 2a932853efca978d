"""The one exception of the interpreter."""


class Fault(Exception):
    """A mistake of a kernel, or something of PTX that the interpreter does not know.

    `kind` is one of the words of `KINDS`; `line` counts the lines of the PTX text from 1; `block`
    and `thread` are linear numbers, or None where the fault belongs to no single one.
    """

    def __init__(self, kind, message, *, kernel="", block=None, thread=None, line=None, text=""):
        assert kind in KINDS, kind
        self.kind = kind
        self.message = message
        self.kernel = kernel
        self.block = block
        self.thread = thread
        self.line = line
        self.text = text
        super().__init__(message)

    @property
    def warp(self):
        """The warp of the faulting thread."""
        return None if self.thread is None else self.thread // 32

    def __str__(self):
        where = [f"kernel {self.kernel}"] if self.kernel else []
        if self.block is not None:
            where.append(f"block {self.block}")
        if self.thread is not None:
            where.append(f"thread {self.thread} (warp {self.warp})")
        if self.line is not None:
            where.append(f"PTX line {self.line}: {self.text}")
        return f"[{self.kind}] {self.message}" + "".join(f"\n  {item}" for item in where)


KINDS = {
    "out-of-bounds": "an access outside every buffer, or outside the shared memory of the launch",
    "misaligned": "an address that is not a multiple of the access's width",
    "uninitialised": "a read of bytes that nothing wrote",
    "undefined-register": "a read of a register that nothing wrote",
    "read-only": "a write to a buffer or space that may only be read",
    "race": "two warps touch one shared byte with no barrier between, and one of them writes",
    "block-race": "two blocks touch one global byte, and one of them writes it without an atomic",
    "conflicting-write": "lanes of one instruction write different values to one address",
    "pending-copy": "cp.async data read, or its ends overwritten, before the wait",
    "divergence": "an instruction of the whole warp, or a barrier, met by a part of it",
    "deadlock": "every thread left waits at a barrier that cannot open",
    "runaway": "more instructions than the limit of the launch",
    "division-by-zero": "an integer division by zero",
    "trap": "the kernel ran a trap or a failed assertion",
    "launch": "a launch that the device would refuse",
    "unsupported": "an opcode, modifier or construct that the interpreter does not know",
}
