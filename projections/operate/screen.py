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


def drawn(title: str, page: str, columns: int, lines: int) -> str:
    """What to write to a terminal of that size to put a page, whose first row is a header, in the place of the one before.

    As many rows as fit; the title says first how many do not.
    """
    rows = page.splitlines()
    room = max(1, lines - 1)  # the cursor stands on a line of its own
    if len(rows) + 2 <= room:
        shown = [title, "", *rows]
    else:
        shown = [title, *rows[: room - 1]]
        there = max(1, len(rows) - 1)
        if hidden := min(there, max(0, len(rows) - (room - 1))):
            shown[0] = f"{hidden} of {there} rows are not shown: a longer terminal, or --once  {title}"
    return _HOME + "".join(row[: max(1, columns - 1)] + _LINE_END for row in shown) + _BELOW
