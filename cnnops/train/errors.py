"""The two ways a run ends early: an error told in one sentence, and a signal."""

import signal
from types import FrameType


class TrainError(Exception):
    """What went wrong, as one sentence for the person at the terminal."""


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to stop; ``advice`` says how to go on."""

    def __init__(self, signum: int, advice: str = "") -> None:
        super().__init__(signum)
        self.signum = signum
        self.advice = advice


def raise_on_signals() -> None:
    """Turns SIGINT and SIGTERM into :class:`Interrupted` in the main thread."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Interrupted(signum)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
