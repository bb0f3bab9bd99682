"""Relay connections over the rows of an index, and over a timeline.

Invariants: the page is read when the field is resolved, so it shares the level's trip; edges, nodes and pageInfo come from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import strawberry

from gateway.compose.signature import Argument
from gateway.engine.stored import readable
from projections.declare import Index, Projection
from projections.timeline import Timeline
from schema.activity import Activity
from schema.paging import cursor, window
from schema.ports import Row, RowPage


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@dataclass(frozen=True)
class EdgeValue:
    """A row and its place."""

    cursor: str
    row: Row | Activity

    @property
    def node(self) -> Any:
        """The row; an error, as a value, for one that cannot be read."""
        return readable(self.row)


@dataclass(frozen=True)
class ConnectionValue:
    """A page as the schema shows it."""

    edges: list[EdgeValue]
    page_info: PageInfo
    total_count: int

    @property
    def nodes(self) -> list[Any]:
        """The rows without their cursors; those that cannot be read are errors, as values."""
        return [edge.node for edge in self.edges]


def connection_types(entity: str, shell: type[Any]) -> type[Any]:
    """Builds <Entity>Connection and <Entity>Edge; of what a timeline shows likewise."""
    edge = type(
        f"{entity}Edge",
        (),
        {
            "__annotations__": {"cursor": str, "node": shell},
            "cursor": strawberry.field(description="Opaque; stays good while rows come and go."),
        },
    )
    built_edge = strawberry.type(edge, description=f"A {entity} in a list.")
    connection = type(
        f"{entity}Connection",
        (),
        {
            "__annotations__": {
                "edges": list[built_edge],  # type: ignore[valid-type]
                "nodes": list[shell],  # type: ignore[valid-type]
                "page_info": PageInfo,
                "total_count": int,
            },
            "total_count": strawberry.field(description="Rows in the whole list, not on this page."),
        },
    )
    return strawberry.type(connection, description=f"A page of a list of {entity}.")


def forward_arguments() -> dict[str, Argument]:
    """Relay's two that go forward."""
    return {
        "first": Argument(int | None, description="Rows from the start, 0 to 100; 20 when nothing is said."),
        "after": Argument(str | None, description="Start behind this cursor."),
    }


def connection_arguments() -> dict[str, Argument]:
    """Relay's four."""
    return forward_arguments() | {
        "last": Argument(int | None, description="Rows from the end, 0 to 100."),
        "before": Argument(str | None, description="End before this cursor."),
    }


def resolve_connection(
    info: Any,
    projection: Projection[Any, Any],
    index: Index[Any],
    arguments: Mapping[str, Any],
    bound: Mapping[str, Any],
) -> Any:
    """Asks for the page now; the answer is a ConnectionValue to await. Raises BadPageError, BadCursorError at once."""
    list_name = f"{projection.name}.{index.name}"
    wanted = window(
        list_name, arguments.get("first"), arguments.get("after"), arguments.get("last"), arguments.get("before")
    )
    filters = {name: _plain(arguments.get(name)) for name in index.fields} | dict(bound)
    return _connection(list_name, info.context.rows.page(projection, index.name, filters, wanted))


def resolve_timeline(info: Any, timeline: Timeline[Any], key: str, arguments: Mapping[str, Any]) -> Any:
    """As `resolve_connection`, for somebody's timeline."""
    list_name = f"{timeline.name}:"  # no index is named so
    wanted = window(list_name, arguments.get("first"), arguments.get("after"), None, None)
    return _connection(list_name, info.context.rows.timeline(timeline, key, wanted))


async def _connection(list_name: str, asked: Any) -> ConnectionValue:
    page: RowPage = await asked
    edges = [EdgeValue(cursor(list_name, member), row) for member, row in page.rows]
    return ConnectionValue(
        edges=edges,
        page_info=PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
        total_count=page.total,
    )


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
