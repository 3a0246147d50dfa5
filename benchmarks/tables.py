"""Tables of the documentation's pages, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Cells as a table: the first row is its head, the first column stands left and all others right."""
    head, *body = rows
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)
