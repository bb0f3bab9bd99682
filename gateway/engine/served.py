"""The read models as the gateway reads them: what of them to ask for, and what the bytes that come say.

Invariants: pure; a row is immutable; what does not decode to its declaration is an error of its own and no other's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from enum import Enum
from typing import Any, Final

import msgspec

from gateway.consistency.requirements import Aggregate
from gateway.engine.reader import Number
from gateway.errors import UnreadableDocumentError
from projections.declare import Projection, View
from projections.errors import WireError
from projections.measure import Measure
from projections.shape import struct_fields, unwrap
from projections.store.document import Document
from projections.store.keys import Bucket, bucket_of, filter_text, sort_value
from projections.store.port import DocumentKey, MeasureQuery, PageQuery, PageRow
from projections.timeline import Happening, Timeline
from projections.wire import Codec
from schema.activity import Activity, Lineage
from schema.ids import global_id
from schema.model import Graph
from schema.paging import Window

_EXACT: Final = Context(prec=28)
"""A total is a whole number of 63 bits: 19 digits."""


class StoredRow:
    """An entity as read (schema.ports.Row). Attributes that it does not have are the view's."""

    __slots__ = ("_headrace_entity", "_headrace_view", "id", "key", "version")

    def __init__(self, entity: str, key: str, version: int, view: View) -> None:
        self.id = global_id(entity, key)
        self.key = key
        self.version = version
        self._headrace_entity = entity  # no field of a view begins with an underscore (schema/model/fields.py)
        self._headrace_view = view

    def __getattr__(self, name: str) -> Any:
        return getattr(self._headrace_view, name)

    @staticmethod
    def is_of(source: object, entity: str) -> bool:
        """Whether something is a row of that entity."""
        return isinstance(source, StoredRow) and source._headrace_entity == entity


def attribute(source: Any, name: str) -> Any:
    """How a stored field is resolved: the source's attribute, an Enum as its value."""
    value = getattr(source, name)
    return value.value if isinstance(value, Enum) else value


class Served:
    """One projection as the gateway reads it: its entity, the context that owns its aggregates, codec and buckets."""

    def __init__(self, projection: Projection[Any, Any], entity: str, context: str, buckets: int) -> None:
        self.projection = projection
        self.entity = entity
        self.context = context
        self.buckets = buckets
        self.codec: Codec[View] = Codec(projection.view)
        self._fields = struct_fields(projection.view, where=projection.name)

    def key(self, id: str) -> DocumentKey:
        """Where the document of an aggregate is."""
        number = bucket_of(id, self.buckets)
        return DocumentKey(Bucket(self.projection.name, self.projection.version, number), id)

    def aggregate(self, id: str) -> Aggregate:
        """The aggregate's name in tokens."""
        return Aggregate(self.context, self.projection.aggregate, id)

    def row(self, key: str, document: Document | None) -> StoredRow | None:
        """The row that a document shows. Raises UnreadableDocumentError."""
        if document is None or document.view is None:
            return None
        try:
            view = self.codec.decode(document.view)
        except (msgspec.DecodeError, WireError) as fault:
            raise UnreadableDocumentError(
                f"{self.entity}:{key} is stored in another shape than it is declared"
            ) from fault
        return StoredRow(self.entity, key, document.version, view)

    def page_query(self, index_name: str, filters: Mapping[str, Any], window: Window) -> PageQuery:
        """The store's query for a window of an index."""
        index = self.projection.index(index_name)
        values = tuple(filter_text(filters.get(name)) for name in index.fields)
        return PageQuery(
            projection=self.projection.name,
            generation=self.projection.version,
            buckets=self.buckets,
            index=index.name,
            values=values,
            limit=window.limit,
            descending=index.descending,
            after=window.after,
            before=window.before,
            backward=window.backward,
        )

    def measure_query(self, measure: Measure[Any], value: Any) -> MeasureQuery:
        """The store's query for a measure of one value of what it is kept by."""
        return MeasureQuery(
            projection=self.projection.name,
            generation=self.projection.version,
            buckets=self.buckets,
            measure=measure.name,
            value=filter_text(value),
            extreme=(1 if measure.kind == "largest" else -1) if measure.is_extreme else 0,
        )

    def number(self, measure: Measure[Any], stored: Number) -> Any:
        """A measure in the type of its field, a count as an int. Raises UnreadableDocumentError."""
        if measure.of is None:
            return stored or 0
        item = unwrap(self._fields[measure.of]).item
        if not measure.is_extreme:
            number = stored if isinstance(stored, int) else 0
            return Decimal(number).scaleb(-measure.places, _EXACT) if item is Decimal else number
        if not isinstance(stored, bytes):
            return None
        try:
            return sort_value(item, stored)
        except (ValueError, WireError) as fault:
            raise UnreadableDocumentError(
                f"the measure {measure.name!r} is stored in another shape than it is declared"
            ) from fault


class ServedTimeline:
    """One timeline as the gateway reads it, beside the projections that are served."""

    def __init__(self, timeline: Timeline[Any], buckets: int, projections: Mapping[str, Served]) -> None:
        self.timeline = timeline
        self.buckets = buckets
        self._codec = Codec(Happening)
        self._by_type: dict[tuple[str, str], list[Served]] = {}
        for served in projections.values():
            self._by_type.setdefault((served.context, served.projection.aggregate), []).append(served)

    def page_query(self, key: str, window: Window) -> PageQuery:
        """The store's query for a window of somebody's timeline, newest first."""
        return PageQuery(
            projection=self.timeline.name,
            generation=self.timeline.version,
            buckets=self.buckets,
            index="",
            values=(),
            limit=window.limit,
            descending=True,
            after=window.after,
            before=window.before,
            backward=window.backward,
            timeline=key,
        )

    def is_fed_by(self, aggregate: Aggregate) -> bool:
        """Whether events of an aggregate may be in it. Of a type that no projection shows the topic is not known: they may."""
        return (aggregate.context, aggregate.type) not in self._by_type or self.sibling(aggregate) is not None

    def sibling(self, aggregate: Aggregate) -> Served | None:
        """A projection over the same topic that shows an aggregate that feeds it."""
        for served in self._by_type.get((aggregate.context, aggregate.type), ()):
            if set(served.projection.topics) & set(self.timeline.topics):
                return served
        return None

    def entry(self, row: PageRow) -> Activity:
        """The entry that a row of a page shows. Raises UnreadableDocumentError."""
        try:
            found = self._codec.decode(row.document.view if row.document and row.document.view else b"")
        except (msgspec.DecodeError, WireError) as fault:
            raise UnreadableDocumentError(
                f"an entry of the timeline {self.timeline.name!r} is stored in another shape than it is declared"
            ) from fault
        return Activity(
            what=found.what,
            when=found.at,
            type=found.type,
            subject=found.subject,
            correlation_id=found.correlation_id,
            lineage=Lineage(topic=found.topic, partition=found.partition, offset=found.offset, event_id=found.event_id),
        )


@dataclass(frozen=True)
class ReadModels:
    """All that a graph reads, by name."""

    projections: Mapping[str, Served]
    timelines: Mapping[str, ServedTimeline]

    def buckets(self) -> list[Bucket]:
        """Every bucket of every read model."""
        found = [
            Bucket(served.projection.name, served.projection.version, number)
            for served in self.projections.values()
            for number in range(served.buckets)
        ]
        return found + [
            Bucket(served.timeline.name, served.timeline.version, number)
            for served in self.timelines.values()
            for number in range(served.buckets)
        ]

    def bucket_count(self, name: str) -> int:
        """How many buckets a read model has here. Raises KeyError."""
        return self.projections[name].buckets if name in self.projections else self.timelines[name].buckets


def read_models(graph: Graph, buckets: int) -> ReadModels:
    """What a graph reads, each in so many buckets."""
    projections = {
        model.projection.name: Served(model.projection, name, model.owner, buckets)
        for name, model in graph.entities.items()
        if model.projection is not None
    }
    timelines = {name: ServedTimeline(timeline, buckets, projections) for name, timeline in graph.timelines.items()}
    return ReadModels(projections, timelines)
