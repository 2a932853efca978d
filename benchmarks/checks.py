"""Refuses to time a kernel that is wrong."""

import torch

TF32_EPS = 2**-10

# The worst error, relative to the largest result: so many units of the precision that products are
# summed in, and one of the precision that results are stored in. A plain sum needs about 5, the
# transforms of Winograd F(4x4, 3x3) cost up to 35 on normally distributed data.
FACTOR = 64


def tolerance(dtype: torch.dtype, tf32: str = "") -> float:
    """Of a result in a dtype, relative to the largest."""
    if tf32 == "on":
        return 16 * TF32_EPS
    summed = torch.float64 if dtype == torch.float64 else torch.float32
    return FACTOR * torch.finfo(summed).eps + torch.finfo(dtype).eps


def require_close(
    name: str, result: torch.Tensor, expected: torch.Tensor, tolerance: float
) -> None:
    """Raises SystemExit unless a result is the expected one in float64."""
    if result.shape != expected.shape:
        raise SystemExit(
            f"{name}: expected the shape {tuple(expected.shape)}, got {tuple(result.shape)}"
        )
    error = (result.double() - expected).abs().max()
    largest = expected.abs().max()
    if not error <= tolerance * largest:
        raise SystemExit(
            f"{name}: the worst error is {error:.2e}, "
            f"expected at most {tolerance:.2e} of the largest value, {largest:.2e}"
        )
