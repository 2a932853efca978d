"""The two ways a run ends early: an error told in one sentence, and a signal."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class TrainError(Exception):
    """What went wrong, as one sentence for the person at the terminal."""


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to stop; ``advice`` says how to go on."""

    def __init__(self, signum: int, advice: str = "") -> None:
        super().__init__(signum)
        self.signum = signum
        self.advice = advice


@contextmanager
def raising_on_signals() -> Iterator[None]:
    """Turns SIGINT and SIGTERM into :class:`Interrupted` while its block runs.

    A signal that the process ignores stays ignored. Outside the main thread, where Python sets no
    handlers, nothing changes.
    """

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Interrupted(signum)

    handlers = _replaceable_handlers()
    try:
        for signum in handlers:
            signal.signal(signum, stop)
        yield
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)


def _replaceable_handlers() -> dict[int, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    # None is a handler that was not set from Python and could not be put back.
    return {s: handler for s, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
