"""The table by which a launch finds its kernel: what the compiler made, under the same names."""

import pytest
import torch

from cnnops._dispatch import has_kernels
from cuda_executor import KERNELS, needs_nvcc
from ptx import compile_ptx


@needs_nvcc
@pytest.mark.skipif(not has_kernels("cuda"), reason="this build has no CUDA kernels")
def test_table_names_every_compiled_kernel():
    table = torch.ops.cnnops._cuda_kernels()
    compiled = [
        name
        for source in sorted(KERNELS.glob("*.cu"))
        for name in compile_ptx(source, "sm_80").kernel_names
    ]
    assert sorted(table) == sorted(compiled)
