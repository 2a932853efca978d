"""Tables that read well in a terminal and on GitHub."""

import re
from collections.abc import Iterable


def table(header: Iterable[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table with aligned columns: the first to the left, the others to the right."""
    lines = [list(header), *rows]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(
        "| " + " | ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) + " |"
        for line in [lines[0], rule, *lines[1:]]
    )


def squeeze(page: str) -> str:
    """The same page without what aligns its tables, for a file that nobody reads raw."""
    return re.sub(r"^\|.*", _squeezed, page, flags=re.M)


def _squeezed(line: re.Match) -> str:
    return re.sub("-{4,}", "---", re.sub(" +", " ", line[0]))
