"""The read models as the gateway reads them: what of them to ask for, and what the bytes that come say.

Invariants: pure; a row is immutable; what does not decode to its declaration is an error of its own and no other's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, Final, TypeAlias

from gateway.consistency.requirements import Aggregate
from gateway.engine.stored import StoredEntry, StoredRow, StoredType, stored_type
from gateway.errors import UnreadableDocumentError
from projections.declare import Index, Projection
from projections.errors import WireError
from projections.measure import Measure
from projections.shape import struct_fields, unwrap
from projections.store.document import Document, unpack
from projections.store.keys import LEFT_OUT, NO_VALUE, Bucket, bucket_of, filter_text, index_list, sort_value
from projections.store.port import DocumentKey, Listing, MeasureQuery, Number, PageQuery, Stored
from projections.timeline import Happening, Timeline
from schema.marks import RowRule
from schema.model import Graph
from schema.paging import Window

Claims: TypeAlias = Mapping[str, str]
"""What is known of the principal that row rules compare with."""
NO_CLAIMS: Final[Claims] = {}
_EXACT: Final = Context(prec=28)
"""A total is a whole number of 63 bits: 19 digits."""


class Served:
    """One projection as the gateway reads it: its entity, the context that owns its aggregates, how views are stored, buckets."""

    def __init__(
        self,
        projection: Projection[Any, Any],
        entity: str,
        context: str,
        stored: StoredType,
        buckets: int,
        rule: RowRule | None = None,
    ) -> None:
        self.projection = projection
        self.entity = entity
        self.context = context
        self.buckets = buckets
        self.rule = rule
        self._stored = stored
        self._frames: dict[tuple[str, str], tuple[str, str]] = {}
        self._fields = struct_fields(projection.view, where=projection.name)
        self.all_buckets = [Bucket(projection.name, projection.version, number) for number in range(buckets)]

    def key(self, id: str) -> DocumentKey:
        """Where the document of an aggregate is."""
        return DocumentKey(self.all_buckets[bucket_of(id, self.buckets)], id)

    def aggregate(self, id: str) -> Aggregate:
        """The aggregate's name in tokens."""
        return Aggregate(self.context, self.projection.aggregate, id)

    def row(self, key: str, document: Document | None) -> StoredRow | None:
        """The row that a document shows; what of it cannot be read is told when it is asked for."""
        if document is None or document.view is None:
            return None
        return StoredRow(self._stored, self.entity, key, document.version, document.view)

    def filter_text(self, name: str, value: Any, claims: Claims) -> str:
        """A filter's value as a part of a key. That of the row rule's field is the principal's claim, and nobody else's rows are
        listed: a value that differs from it, or a claim that is missing, names no list.
        """
        text = filter_text(value)
        if self.rule is None or name != self.rule.field:
            return text
        claim = claims.get(self.rule.claim)
        own = NO_VALUE if claim is None else filter_text(claim)
        return own if value is None or text == own else NO_VALUE

    def hides(self, value: Any, claims: Claims) -> bool:
        """Whether the row rule keeps from the principal a row with that value in the rule's field."""
        if self.rule is None:
            return False
        claim = claims.get(self.rule.claim)
        return claim is None or value is None or filter_text(value) != filter_text(claim)

    def page_query(
        self, index: Index[Any], filters: Mapping[str, Any], window: Window, claims: Claims = NO_CLAIMS
    ) -> PageQuery:
        """The store's query for a window of an index, as far as the principal may see it."""
        projection, text = self.projection, self.filter_text
        values = tuple([text(name, filters.get(name), claims) for name in index.fields])
        limit, after, before, backward = window.limit, window.after, window.before, window.backward
        return PageQuery(
            projection.name, projection.version, self.buckets, index.name, values,
            limit, index.descending, after, before, backward,
        )  # fmt: skip

    def listing(self, index: Index[Any], limit: int) -> Listing:
        """The lists of an index, so many rows of each."""
        return Listing(self.projection.name, self.projection.version, self.buckets, index.name, limit, index.descending)

    def list_names(self, index: Index[Any], via: str, keys: Iterable[str], claims: Claims) -> list[str]:
        """The names of the lists of an index in which the filter `via` is one of the keys and all others are left out, as far as
        the principal may see them.
        """
        if self.rule is not None:
            text = self.filter_text
            return [
                index_list(index.name, [text(name, key if name == via else None, claims) for name in index.fields])
                for key in keys
            ]
        frame = self._frames.get((index.name, via))
        if frame is None:
            place = index.fields.index(via)
            before = index_list(index.name, (*[LEFT_OUT] * place, ""))
            frame = self._frames[index.name, via] = before, f":{LEFT_OUT}" * (len(index.fields) - place - 1)
        before, after = frame
        return [f"{before}{filter_text(key)}{after}" for key in keys]

    def measure_query(self, measure: Measure[Any], value: Any, claims: Claims = NO_CLAIMS) -> MeasureQuery:
        """The store's query for a measure of one value of what it is kept by, as far as the principal may see it."""
        by = measure.by if isinstance(measure.by, str) else ""
        return MeasureQuery(
            projection=self.projection.name,
            generation=self.projection.version,
            buckets=self.buckets,
            measure=measure.name,
            value=self.filter_text(by, value, claims),
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
        self._stored = StoredType(Happening, {}, {})
        self._by_type: dict[tuple[str, str], list[Served]] = {}
        for served in projections.values():
            self._by_type.setdefault((served.context, served.projection.aggregate), []).append(served)

    def page_query(self, key: str, window: Window) -> PageQuery:
        """The store's query for a window of somebody's timeline, newest first."""
        return PageQuery(
            projection=self.timeline.name,
            generation=self.timeline.version,
            buckets=self.buckets,
            index_name="",
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

    def entry(self, stored: Stored) -> StoredEntry:
        """The entry that a row of a page shows, which reads as an Activity. Raises WireError."""
        return StoredEntry(self._stored, f"an entry of the timeline {self.timeline.name!r}", unpack(stored).view or b"")


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
        model.projection.name: Served(
            model.projection, name, model.owner, stored_type(graph, model), buckets, model.rows
        )
        for name, model in graph.entities.items()
        if model.projection is not None
    }
    timelines = {name: ServedTimeline(timeline, buckets, projections) for name, timeline in graph.timelines.items()}
    return ReadModels(projections, timelines)
