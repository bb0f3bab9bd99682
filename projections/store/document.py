"""A stored document: a fixed header, then the view as JSON.

Invariants: the header alone tells the aggregate's version, so a document is its own watermark; a deleted aggregate, or one of
which only ignored events were seen, is a header with nothing behind it.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from projections.errors import WireError

FORMAT: Final = 1
HEADER: Final = struct.Struct(">BBIIQ")
"""format 1 B, flags 1 B, epoch 4 B, version 4 B, event time in ms 8 B: 18 bytes, read by apply.lua as `>BBI4I4`."""

PARKED: Final = 0x01
"""Flag: events of this aggregate wait in the quarantine."""


class Document(NamedTuple):
    """What is stored of one aggregate. `view` is JSON bytes, or None when there is nothing to show."""

    epoch: int
    version: int
    time_ms: int
    view: bytes | None
    flags: int = 0

    @property
    def at(self) -> tuple[int, int]:
        """(epoch, version): what order goes by."""
        return (self.epoch, self.version)


def pack(document: Document) -> bytes:
    """The bytes to store."""
    head = HEADER.pack(FORMAT, document.flags, document.epoch, document.version, document.time_ms)
    return head + document.view if document.view else head


def unpack(data: bytes) -> Document:
    """The document in stored bytes. Raises WireError for bytes that no version of Headrace wrote."""
    if len(data) < HEADER.size or data[0] != FORMAT:
        raise WireError("not a stored document")
    _, flags, epoch, version, time_ms = HEADER.unpack_from(data)
    return Document(epoch, version, time_ms, data[HEADER.size :] or None, flags)
