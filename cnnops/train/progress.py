"""Progress bars on stderr, absent when that is not a terminal."""

from tqdm import tqdm


def progress_bar(title: str, total: int, unit: str) -> tqdm:
    return tqdm(
        desc=title, total=total, unit=f" {unit}s", disable=None, leave=False, dynamic_ncols=True
    )
