"""Tables for a terminal."""

from collections.abc import Sequence


def format_table(lines: Sequence[Sequence[str]]) -> str:
    """Returns lines of cells as columns of text. The first line has the headings."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def format_bytes(count: int) -> str:
    """Returns a size in the largest unit in which it is at least 1."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
