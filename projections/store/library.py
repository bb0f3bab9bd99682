"""The store's server-side functions (apply.lua), under names that carry the digest of their source.

Invariants: two builds of Headrace with different functions can use one server at a time; equal names mean equal code.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("apply.lua")
_MARK: Final = "@DIGEST@"
_DIGEST_CHARACTERS: Final = 12


@dataclass(frozen=True)
class Library:
    """What `FUNCTION LOAD` takes, and what `FCALL` calls."""

    name: str
    code: str
    apply: str
    fence: str
    standing: str
    queued: str
    page: str
    rows: str
    extreme: str


def library(source: str | None = None) -> Library:
    """The library of a source text, by default of apply.lua beside this file."""
    text = SOURCE.read_text(encoding="utf-8") if source is None else source
    digest = sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return Library(
        name=f"headrace_{digest}",
        code=text.replace(_MARK, digest),
        apply=f"headrace_apply_{digest}",
        fence=f"headrace_fence_{digest}",
        standing=f"headrace_standing_{digest}",
        queued=f"headrace_queued_{digest}",
        page=f"headrace_page_{digest}",
        rows=f"headrace_rows_{digest}",
        extreme=f"headrace_extreme_{digest}",
    )
