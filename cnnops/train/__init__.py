"""Trains an image classifier on cnnops' kernels: ``python -m cnnops.train --help``.

With no options: LeNet-5 on scikit-learn's handwritten digits, 30 epochs; it gets at least 98 % of
the held-out fifth right.
"""

import importlib.util
import signal
import sys

_PACKAGES = {
    "torchvision": "torchvision",
    "tqdm": "tqdm",
    "sklearn": "scikit-learn",
    "matplotlib": "matplotlib",
}


def main(argv: list[str] | None = None) -> int:
    """Runs the trainer with the arguments ``argv`` (default: the command line's).

    Returns the exit code: 0 done, 1 failed with one sentence on stderr, 130 or 143 interrupted by
    SIGINT or SIGTERM. Wrong options leave through ``SystemExit(2)``, as argparse does.
    """
    missing = [name for module, name in _PACKAGES.items() if not importlib.util.find_spec(module)]
    if missing:
        print(
            f"error: cnnops.train needs {', '.join(missing)}: pip install 'cnnops[train]'",
            file=sys.stderr,
        )
        return 1
    try:
        # These imports take seconds, in which Ctrl-C is to be as quiet as later.
        from .cli import run

        return run(argv)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
