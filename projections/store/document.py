"""A stored document: a short header, then the view as JSON.

Invariants: the header alone tells the aggregate's version, so a document is its own watermark; a deleted aggregate, or one of
which only ignored events were seen, is a header with nothing behind it; the narrow header is written where it can hold all.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from projections.errors import WireError

FORMAT: Final = 2
"""In the upper half of the first byte; below are `_WIDE` and the flags."""
_WIDE: Final = 0x08
_FLAGS: Final = 0x07
_NARROW_VERSIONS: Final = 2**24
_NARROW_HEADER: Final = struct.Struct(">IHI")
"""first byte 1 B and version 3 B, event time in ms 6 B: 10 bytes, at epoch 0, up to version 16,777,215 and the year 10889."""
_WIDE_HEADER: Final = struct.Struct(">BIIQ")
"""first byte 1 B, version 4 B, epoch 4 B, event time in ms 8 B: 17 bytes."""
_NARROW_TIMES: Final = 2**48
_NARROW_GUARD: Final = struct.Struct(">I5x")
_WIDE_GUARD: Final = struct.Struct(">BII")
GUARD_BYTES: Final = _WIDE_GUARD.size

_NARROW: Final = _NARROW_HEADER.size
_TAG: Final = 0xFF & ~_FLAGS
_FORMAT_TAG: Final = FORMAT << 4

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


def header_bytes(data: bytes) -> int:
    """How many bytes of a stored document are its header. Raises WireError for bytes that no version of Headrace wrote."""
    if data and data[0] >> 4 == FORMAT:
        header = _WIDE_HEADER if data[0] & _WIDE else _NARROW_HEADER
        if len(data) >= header.size:
            return header.size
    raise WireError("not a stored document")


def pack(document: Document) -> bytes:
    """The bytes to store."""
    epoch, version, time_ms, view, flags = document
    if epoch or version >= _NARROW_VERSIONS or time_ms >= _NARROW_TIMES:
        head = _WIDE_HEADER.pack(FORMAT << 4 | _WIDE | flags, version, epoch, time_ms)
    else:
        head = _NARROW_HEADER.pack((FORMAT << 4 | flags) << 24 | version, time_ms >> 32, time_ms & 0xFFFFFFFF)
    return head + view if view else head


def unpack(data: bytes) -> Document:
    """The document in stored bytes. Raises WireError for bytes that no version of Headrace wrote."""
    if len(data) >= _NARROW:
        head, high, low = _NARROW_HEADER.unpack_from(data)
        tag = head >> 24
        if tag & _TAG == _FORMAT_TAG:  # looked at first: it is nearly always so
            return Document(0, head & 0xFFFFFF, high << 32 | low, data[_NARROW:] or None, tag & _FLAGS)
    size = header_bytes(data)
    tag, version, epoch, time_ms = _WIDE_HEADER.unpack_from(data)
    return Document(epoch, version, time_ms, data[size:] or None, tag & _FLAGS)


def views(stored: Sequence[bytes]) -> list[bytes]:
    """The views of many, quickly. One that is empty is to be looked at by itself (`unpack`). Raises WireError as that does."""
    try:
        # those whose header is narrow, which nearly all are, without a call for each
        return [data[_NARROW:] if data[0] & _TAG == _FORMAT_TAG else data[header_bytes(data) :] for data in stored]
    except IndexError:
        raise WireError("not a stored document") from None


def guard(document: Document) -> bytes:
    """What a change of this document is guarded by: as its header begins, without the time."""
    epoch, version, _, _, flags = document
    if epoch or version >= _NARROW_VERSIONS:
        return _WIDE_GUARD.pack(FORMAT << 4 | _WIDE | flags, version, epoch)
    return _NARROW_GUARD.pack((FORMAT << 4 | flags) << 24 | version)
