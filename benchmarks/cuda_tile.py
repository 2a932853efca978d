"""The tiles of the matrix-product kernels, from the kernels' names."""

import re
from typing import NamedTuple

THREADS = 256  # this and what follows: csrc/cuda/tile.h, csrc/cuda/tensor_core.cuh
WARPS = 8
ROW_BYTES = 64  # of a tile along the reduction, in one step
CHUNK_BYTES = 16

_MATH = re.compile(r"<(Simt|TensorCore)<(\w+), (\d+), (\d+)>")
_SIZES = {"double": 8, "float": 4, "Tf32": 4, "__half": 2, "__nv_bfloat16": 2}


class Tile(NamedTuple):
    """Rows and columns that a block computes, and bytes of an operand in shared memory."""

    rows: int
    columns: int
    operand_bytes: int
    on_tensor_cores: bool

    @property
    def depth(self) -> int:
        """Elements along the reduction in one step."""
        return ROW_BYTES // self.operand_bytes

    @property
    def copies(self) -> int:
        """Chunks that a thread copies in one step to fill the tiles of both operands."""
        return self._copies(self.rows) + self._copies(self.columns)

    def _copies(self, rows: int) -> int:
        return -(-rows * (ROW_BYTES // CHUNK_BYTES) // THREADS)

    def products(self, arch: int) -> int:
        """Tensor-core instructions of a warp in one step, each for 16 x 8 sums."""
        depth_bytes = 32 if arch >= 80 else 16
        return self.rows // 16 * self.columns // 8 * ROW_BYTES // depth_bytes // WARPS

    @property
    def fragment_loads(self) -> int:
        """LDSM.x4 of a warp in one step: each brings 16 rows of 32 bytes of an operand."""
        across = 4 if self.columns >= 128 else 2
        of_warp = self.rows * across // WARPS + self.columns // across
        return of_warp // 16 * ROW_BYTES // 32


def tile_of(kernel: str) -> Tile | None:
    """From a name such as "correlation_gemm<TensorCore<__half, 128, 64>, __half, Chunks>"."""
    found = _MATH.search(kernel)
    if found is None:
        return None
    math, operand, rows, columns = found.groups()
    return Tile(int(rows), int(columns), _SIZES[operand], math == "TensorCore")
