"""From the command line to a run, and from whatever ends it to an exit code."""

import os
import signal
import sys

import torch

from .errors import Interrupted, TrainError, raising_on_signals
from .options import parse
from .run import train

OUT_OF_MEMORY = "out of memory: choose a smaller --batch-size or --image-size"


def run(argv: list[str] | None) -> int:
    given, resume = parse(argv)
    try:
        with raising_on_signals():
            train(given, resume)
    except TrainError as error:
        return _fail(str(error))
    except Interrupted as stop:
        name = signal.Signals(stop.signum).name
        print(f"interrupted by {name}{stop.advice}", file=sys.stderr)
        return 128 + stop.signum
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not flush to it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _fail("the reader of the output has gone")
    except OSError as error:
        return _fail(str(error))
    except (MemoryError, torch.OutOfMemoryError):
        return _fail(OUT_OF_MEMORY)
    except RuntimeError as error:
        # torch's allocator on the CPU has no error class of its own.
        if "can't allocate memory" not in str(error):
            raise
        return _fail(OUT_OF_MEMORY)
    return 0


def _fail(sentence: str) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return 1
