"""Pages of lists as the oracle shows them: what goes together, which rows are on a page, what names a place.

Invariants: pure; a list is its rows in their order, and a page is cut out of that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tests.equality.facts import instant
from tests.equality.shop import BAD, ENTITIES, LISTS, FieldError, Shop, Source

DEFAULT_PAGE: Final = 20


class Row(NamedTuple):
    """A place in a list."""

    sort: tuple[Any, ...]
    cursor: str
    key: str
    found: Source | FieldError | None


def paged(
    shop: Shop, name: str, listed: str, rows: Sequence[Row], arguments: Mapping[str, Any], descending: bool, trip: int
) -> Source:
    """A page of a list as a connection. Raises FieldError."""
    first, after, last, before = (arguments.get(at) for at in ("first", "after", "last", "before"))
    low, high = place(shop, listed, after), place(shop, listed, before)
    start = 0 if low is None else sum(1 for row in rows if _at_or_before(row.sort, low, descending))
    stop = len(rows) if high is None else sum(1 for row in rows if _before(row.sort, high, descending))
    span = rows[start:stop]
    size = last if last is not None else DEFAULT_PAGE if first is None else first
    chosen = span[max(0, len(span) - size) :] if last is not None else span[:size]
    has_previous, has_next = start > 0, stop < len(rows)
    if chosen:
        has_previous = rows.index(chosen[0]) > 0
        has_next = rows.index(chosen[-1]) < len(rows) - 1
    shown = [row._replace(found=_found(shop, name, row, trip)) for row in chosen]
    shown = [row for row in shown if row.found is not None]
    edges = [Source(f"{name}Edge", {"cursor": row.cursor, "node": row.found}, trip + 1) for row in shown]
    cursors: list[str | None] = [row.cursor for row in shown]
    info = {
        "hasNextPage": has_next,
        "hasPreviousPage": has_previous,
        "startCursor": cursors[0] if cursors else None,
        "endCursor": cursors[-1] if cursors else None,
    }
    values = {
        "edges": edges,
        "nodes": [row.found for row in shown],
        "pageInfo": Source("PageInfo", info, trip + 1),
        "totalCount": len(rows),
    }
    return Source(f"{name}Connection", values, trip + 1)


def check_page(shop: Shop, listed: str, arguments: Mapping[str, Any]) -> None:
    """Raises FieldError for arguments that do not go together, or cursors of another list."""
    first, after, last, before = (arguments.get(at) for at in ("first", "after", "last", "before"))
    size = first if last is None else last
    if (
        (first is not None and last is not None)
        or (last is None and before is not None)
        or (last is not None and after is not None)
    ):
        raise FieldError(BAD)
    if size is not None and not 0 <= size <= 100:
        raise FieldError(BAD)
    for cursor in (after, before):
        place(shop, listed, cursor)


def place(shop: Shop, listed: str, cursor: str | None) -> tuple[Any, ...] | None:
    """The place that a cursor of a list names. Raises FieldError for a text that is none."""
    if cursor is None:
        return None
    key = shop.world.cursors.get((listed, cursor))
    if key is None:
        raise FieldError(BAD)
    if listed == "activity:":
        entry = next(entry for entries in shop.world.entries.values() for entry in entries if entry["eventId"] == key)
        return (instant(entry["at"]), key)
    projection = listed.partition(".")[0]
    view = shop.world.documents[projection, key].view
    assert view is not None
    return shop.place_of(projection, key, view, LISTS[listed][2])


def _at_or_before(sort: tuple[Any, ...], other: tuple[Any, ...], descending: bool) -> bool:
    return sort >= other if descending else sort <= other


def _before(sort: tuple[Any, ...], other: tuple[Any, ...], descending: bool) -> bool:
    return sort > other if descending else sort < other


def _found(shop: Shop, name: str, row: Row, trip: int) -> Source | FieldError | None:
    return row.found if name == "Activity" else shop.shown(ENTITIES[name], row.key, trip)
