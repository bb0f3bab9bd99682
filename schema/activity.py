"""What a timeline shows: the public type of its entries, shared by all timelines.

Invariants: plain values, made from `projections.timeline.Happening`; the type is in a graph as soon as one field shows a timeline.
"""

from __future__ import annotations

from datetime import datetime

import strawberry


@strawberry.type(description="Where an entry of a timeline comes from: the event, and the record that brought it.")
class Lineage:
    topic: str
    partition: int
    offset: str = strawberry.field(description="A whole number, as a text: it may be larger than an Int.")
    event_id: str = strawberry.field(description="The event's own id, unique for its source.")


@strawberry.type(description="Something that happened.")
class Activity:
    what: str = strawberry.field(description="In a few words.")
    when: datetime = strawberry.field(description="The time of the event.")
    type: str = strawberry.field(description="The event's type, such as shop.orders.OrderPlaced.")
    subject: str = strawberry.field(description="Whom it happened to, such as order/o-123.")
    correlation_id: str | None = strawberry.field(description="What else came of the same request carries it too.")
    lineage: Lineage
