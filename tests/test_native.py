"""The CPU's kernels in a program free of PyTorch, where memory ends at guarded pages.

make sanitize-address and make sanitize-thread run the same program (tests/native) under the
sanitizers.
"""

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.skipif(not (shutil.which("make") and shutil.which("g++")), reason="needs make and g++")
def test_kernels_on_every_instruction_set_and_planted_faults():
    result = subprocess.run(
        ["make", "-s", "-C", Path(__file__).parent / "native", "check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-10000:] + result.stderr[-10000:]
