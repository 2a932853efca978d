"""Two settings of the C library's memory, which a process takes from its environment at its start.

By default a large tensor is fresh memory from the system, whose first touch costs a page fault for
every 4 KB: more than many a pass. Warm memory is kept and handed out again.
"""

import os
import sys

WARM = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(64 * 2**30)}


def setting() -> str:
    """That of this process: "warm" or "default"."""
    return "warm" if WARM.items() <= os.environ.items() else "default"


def environment(wanted: str) -> dict[str, str]:
    """This process' environment with the wanted setting."""
    others = {name: value for name, value in os.environ.items() if name not in WARM}
    return others | (WARM if wanted == "warm" else {})


def ensure(wanted: str) -> None:
    """Starts this process again, with the same command, unless it has the setting."""
    if wanted != setting():
        sys.stdout.flush()
        os.execve(sys.executable, sys.orig_argv, environment(wanted))
