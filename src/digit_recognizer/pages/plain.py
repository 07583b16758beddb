"""Tables of plain text."""

from collections.abc import Sequence


def columns(table: Sequence[Sequence[str]]) -> str:
    """Lines of left-aligned columns, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )
