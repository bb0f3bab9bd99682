"""Figures as a picture: one group of bars for each operation, a bar for each server, as an SVG text.

Invariants: pure; bars are logarithmic, and each has its value written beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.declare import Figures

Group = tuple[str, Sequence[tuple[str, float, str]]]
"""A title, and its bars: name, value, and what is written beside it."""

_WIDTH: Final = 900
_LEFT: Final = 190
_RIGHT: Final = 270
_BAR: Final = 22
_GAP: Final = 44
_OURS: Final = "#0b7285"
_THEIRS: Final = "#adb5bd"
_FLOOR_PER_S: Final = 10.0
"""Where a bar begins."""


def groups(found: Mapping[str, Figures], titles: Mapping[str, tuple[str, str]]) -> list[Group]:
    """What can be drawn of some benchmarks' figures: for each title an id, and `end`.

    A figure `<server><end>_per_s` is a bar, `<server><end>_cpu_us_per_request` is written beside it.
    """
    drawn: list[Group] = []
    for title, (id, end) in titles.items():
        figures = found.get(id, {})
        bars: list[tuple[str, float, str]] = []
        for name, value in figures.items():
            server = name.removesuffix(f"{end}_per_s")
            if name != server:
                cpu = figures[f"{server}{end}_cpu_us_per_request"]
                bars.append((server.replace("_", " "), value, f"{value:,.0f}/s, {cpu:,.0f} us of CPU"))
        if bars:
            drawn.append((title, sorted(bars, key=lambda bar: -bar[1])))
    return drawn


def svg(title: str, drawn: Sequence[Group], ours: str) -> str:
    """The picture; the bars named `ours` stand out."""
    top = max((value for _, bars in drawn for _, value, _ in bars), default=_FLOOR_PER_S)
    scale = (_WIDTH - _LEFT - _RIGHT) / max(1.0, math.log10(top / _FLOOR_PER_S))
    lines: list[str] = [_text(20, 30, title, "font-weight='bold' font-size='16'")]
    y = 40
    for name, bars in drawn:
        y += _GAP
        lines.append(_text(20, y - 10, name, "font-weight='bold'"))
        for server, value, told in bars:
            width = max(1.0, scale * math.log10(max(value, _FLOOR_PER_S) / _FLOOR_PER_S))
            fill = _OURS if server == ours else _THEIRS
            lines.append(f"<rect x='{_LEFT}' y='{y}' width='{width:.1f}' height='{_BAR - 5}' fill='{fill}'/>")
            lines.append(_text(_LEFT - 8, y + 13, server, "text-anchor='end'"))
            lines.append(_text(round(_LEFT + width) + 8, y + 13, told, ""))
            y += _BAR
    height = y + 20
    head = f"<svg xmlns='http://www.w3.org/2000/svg' width='{_WIDTH}' height='{height}' font-family='sans-serif' font-size='13'>"
    return "\n".join([head, f"<rect width='{_WIDTH}' height='{height}' fill='white'/>", *lines, "</svg>", ""])


def _text(x: int, y: int, text: str, more: str) -> str:
    return f"<text x='{x}' y='{y}' {more}>{escape(text)}</text>"
