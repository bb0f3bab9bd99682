"""Tables for people: padded columns, and a page that is drawn anew in place while it changes.

Invariants: nothing wider or longer than the terminal is drawn in place, so that a page never scrolls; what is shown has no
control characters, whatever was in a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

CLEAR: Final = "\x1b[2J"
HIDE_CURSOR: Final = "\x1b[?25l"
SHOW_CURSOR: Final = "\x1b[?25h"
_HOME: Final = "\x1b[H"
_LINE_END: Final = "\x1b[K\n"
_BELOW: Final = "\x1b[J"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns, padded; None as a dash."""
    cells = [header, *[["-" if cell is None else plain(str(cell)) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)


def plain(text: str) -> str:
    """A text without what would move a terminal's cursor, or a lone surrogate, escaped instead."""
    return text if text.isprintable() else "".join(part if part.isprintable() else ascii(part)[1:-1] for part in text)


def drawn(page: str, columns: int, lines: int) -> str:
    """What to write to a terminal of that size to put a page in the place of the one before."""
    rows = page.splitlines()
    if len(rows) >= lines:
        kept = max(1, lines - 2)
        rows = [*rows[:kept], f"... {len(rows) - kept} more lines: a longer terminal, or --once"]
    return _HOME + "".join(row[: max(1, columns - 1)] + _LINE_END for row in rows) + _BELOW
