"""Measures and timelines in the graph: what fits is in the SDL, what does not is told with place and mend."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from graphql import GraphQLObjectType

from gateway.compose import compose
from gateway.compose.numbers import shown_number
from projections.declare import Event, Part, Projection, View
from projections.measure import Measure
from projections.shape import FieldType
from projections.timeline import Entry, Timeline
from schema import Activity, BoundedContext, Connection, entity, extension, get, measure, one, part, timeline
from schema.errors import CompositionError
from schema.model import ReadModel, build_graph


class Stay(Part):
    nights: int


class BookingMade(Event):
    guest_id: str
    at: datetime
    price: Decimal
    nights: int
    tip: Decimal | None
    stays: list[Stay]


class BookingView(View):
    guest_id: str
    at: datetime
    price: Decimal
    nights: int
    tip: Decimal | None
    stays: list[Stay]


def evolve_booking(view: BookingView | None, event: BookingMade) -> BookingView:
    return BookingView(
        guest_id=event.guest_id, at=event.at, price=event.price, nights=event.nights, tip=event.tip, stays=event.stays
    )


class GuestState(Event):
    name: str


class GuestView(View):
    name: str


def evolve_guest(view: GuestView | None, event: GuestState) -> GuestView:
    return GuestView(name=event.name)


def day(view: BookingView) -> date:
    return view.at.date()


def unsaid(view: BookingView):  # type: ignore[no-untyped-def]
    return view.guest_id


bookings = Measure[BookingView]("bookings", "count", by="guest_id")
spent = Measure[BookingView]("spent", "total", by="guest_id", of="price")
nights = Measure[BookingView]("nights", "total", by="guest_id", of="nights")
last_at = Measure[BookingView]("last_at", "largest", by="guest_id", of="at")
best_tip = Measure[BookingView]("best_tip", "largest", by="guest_id", of="tip")
by_day = Measure[BookingView]("by_day", "total", by=day, of="price")
by_nights = Measure[BookingView]("by_nights", "count", by="nights")
by_lambda = Measure[BookingView]("by_lambda", "count", by=lambda view: view.guest_id)
by_unsaid = Measure[BookingView]("by_unsaid", "count", by=unsaid)
stray = Measure[BookingView]("stray", "count", by="guest_id")
booking_docs = Projection(
    name="bookings",
    version=1,
    topics=["bookings"],
    aggregate="booking",
    state=True,
    evolve=evolve_booking,
    measures=[bookings, spent, nights, last_at, best_tip, by_day, by_nights, by_lambda, by_unsaid],
)
guest_docs = Projection(name="guests", version=1, topics=["guests"], aggregate="guest", state=True, evolve=evolve_guest)


def told(event: BookingMade | GuestState, id: str) -> Entry | None:
    return Entry(event.guest_id, "booked") if isinstance(event, BookingMade) else None


log_book = Timeline(name="log_book", version=1, topics=["bookings"], entry=told)
other_book = Timeline(name="other_book", version=1, topics=["bookings"], entry=told)
SERVED: list[ReadModel] = [booking_docs, guest_docs, log_book]


@part(Stay)
class BookingStay:
    nights: int


@entity(booking_docs)
class Booking:
    price: Decimal


@entity(guest_docs)
class Guest:
    name: str
    bookings: int = measure(booking_docs, bookings, description="How often.")
    spent: Decimal = measure(booking_docs, spent)
    nights_exact: Decimal = measure(booking_docs, nights)
    nights: int = measure(booking_docs, nights)
    last_at: datetime | None = measure(booking_docs, last_at)
    best_tip: Decimal | None = measure(booking_docs, best_tip)
    by_code: int = measure(booking_docs, by_lambda)
    log_book: Connection[Activity] = timeline(log_book, description="Newest first.", deprecation="Too long.")


class Query:
    guest: Guest | None = get(guest_docs)
    takings: Decimal = measure(booking_docs, by_day, description="On a day.")
    stays_of: int = measure(booking_docs, by_nights)
    spent_by: Decimal = measure(booking_docs, spent)


CONTEXTS = [BoundedContext("hotel", entities=[Booking, Guest], query=Query)]


def refuses(*names: str, guest: type[Any] | None = None, query: type[Any] | None = None, **parts: Any) -> None:
    entities = [Booking, entity(guest_docs)(guest) if guest else Guest]
    with pytest.raises(CompositionError) as raised:
        build_graph([BoundedContext("hotel", entities=entities, query=query, **parts)], SERVED)
    for name in names:
        assert name in str(raised.value), f"{name!r} is not in:\n{raised.value}"
    assert raised.value.mend


def test_what_fits_is_in_the_graph() -> None:
    composed = compose(CONTEXTS, SERVED)
    guest = composed.schema.type_map["Guest"]
    assert isinstance(guest, GraphQLObjectType)
    assert set(guest.fields["logBook"].args) == {"first", "after"}
    sdl = composed.sdl()
    for line in (
        "bookings: Int!",
        "spent: Decimal!",
        "nights: Int!",
        "nightsExact: Decimal!",
        "lastAt: DateTime\n",
        "bestTip: Decimal\n",
        "byCode: Int!",
        "takings(day: Date!): Decimal!",
        "staysOf(nights: Int!): Int!",
        "spentBy(guestId: String!): Decimal!",
        '): ActivityConnection! @deprecated(reason: "Too long.")',
        "type ActivityEdge {",
        "lineage: Lineage!",
        "correlationId: String\n",
        "when: DateTime!",
    ):
        assert line in " ".join(sdl.split()) or line in sdl, line
    assert '"""How often."""' in sdl


def test_a_graph_without_timelines_has_no_type_for_them() -> None:
    @entity(guest_docs)
    class Guest:
        name: str

    class Query:
        guest: Guest | None = get(guest_docs)

    Query.__annotations__["guest"] = Guest | None
    sdl = compose([BoundedContext("hotel", entities=[Guest], query=Query)], SERVED).sdl()
    assert "Activity" not in sdl
    assert "Lineage" not in sdl


@pytest.mark.parametrize(
    ("kept", "annotation", "wanted"),
    [
        (bookings, Decimal, "annotate it as int"),
        (bookings, int | None, "annotate it as int"),
        (bookings, list[int], "annotate it as int"),
        (spent, int, "annotate it as Decimal"),
        (spent, Decimal | None, "annotate it as Decimal"),
        (nights, str, "annotate it as int or Decimal"),
        (last_at, datetime, "annotate it as datetime | None"),
        (last_at, date | None, "annotate it as datetime | None"),
        (best_tip, Decimal, "annotate it as Decimal | None"),
    ],
)
def test_an_annotation_that_does_not_fit(kept: Measure[Any], annotation: Any, wanted: str) -> None:
    class Guest:
        number: int = measure(booking_docs, kept)

    Guest.__annotations__["number"] = annotation
    refuses("Guest.number", f"is a {kept.kind}", wanted, "BookingView", guest=Guest)


def test_a_measure_of_another_projection() -> None:
    class Guest:
        number: int = measure(booking_docs, stray)

    refuses("does not keep the measure 'stray'", "Guest.number", "use one of bookings, spent", guest=Guest)


def test_a_field_that_hides_what_a_later_one_needs() -> None:
    class Guest:
        bookings: int = measure(booking_docs, bookings)
        again: int = measure(booking_docs, bookings)  # type: ignore[arg-type]  # on purpose

    refuses("a Measured stands where a Measure should", "Guest.again", "hides", guest=Guest)


def test_a_measure_of_a_context_that_is_not_composed() -> None:
    context = BoundedContext("hotel", entities=[Guest])
    with pytest.raises(CompositionError, match="'bookings', which no composed context shows"):
        build_graph([context], SERVED)


@pytest.mark.parametrize("kept", [by_nights, by_day])
def test_a_measure_that_is_kept_by_no_key(kept: Measure[Any]) -> None:
    class Guest:
        number: Any = measure(booking_docs, kept)

    Guest.__annotations__["number"] = int if kept is by_nights else Decimal
    refuses("Guest.number", "which no entity has as its key", "field of Query", guest=Guest)


@pytest.mark.parametrize("kept", [by_lambda, by_unsaid])
def test_a_root_field_that_cannot_ask(kept: Measure[Any]) -> None:
    class Query:
        number: int = measure(booking_docs, kept)

    refuses("number needs an argument", "Query.number", "named function", query=Query)


def test_a_measure_or_timeline_of_a_part() -> None:
    @part(Stay)
    class StayPart:
        nights: int
        number: int = measure(booking_docs, bookings)

    @entity(booking_docs)
    class Booked:
        stays: list[StayPart]

    Booked.__annotations__["stays"] = list[StayPart]
    with pytest.raises(CompositionError, match="a part has no key"):
        build_graph([BoundedContext("hotel", entities=[Booked])], SERVED)


def test_a_timeline_that_is_not_served() -> None:
    class Guest:
        log_book: Connection[Activity] = timeline(other_book)

    refuses("the timeline 'other_book' is not served", "Guest.log_book", "projections/catalog.py", guest=Guest)


@pytest.mark.parametrize("annotation", [list[Activity], Activity, Connection[Booking], Connection[Activity] | None])
def test_a_timeline_that_is_annotated_as_something_else(annotation: Any) -> None:
    class Guest:
        log_book: Any = timeline(log_book)

    Guest.__annotations__["log_book"] = annotation
    refuses("Guest.log_book", "annotate it as Connection[Activity]", guest=Guest)


def test_the_types_of_timelines_are_taken_where_there_is_one() -> None:
    cls: type[Any] = type("Lineage", (), {"__annotations__": {"price": Decimal}, "__module__": __name__})

    class Guest:
        log_book: Connection[Activity] = timeline(log_book)

    contexts = [BoundedContext("hotel", entities=[entity(booking_docs)(cls), entity(guest_docs)(Guest)])]
    with pytest.raises(CompositionError, match="two types are named Lineage"):
        build_graph(contexts, SERVED)
    assert "Lineage" in build_graph([BoundedContext("hotel", entities=[cls])], SERVED).objects


def test_an_extension_adds_both() -> None:
    @entity(guest_docs)
    class Plain:
        name: str

    @extension(Plain)
    class More:
        bookings: int = measure(booking_docs, bookings)
        log_book: Connection[Activity] = timeline(log_book)

    @entity(booking_docs)
    class Booked:
        guest: Plain | None = one(guest_docs, via="guest_id")

    Booked.__annotations__["guest"] = Plain | None
    graph = build_graph([BoundedContext("hotel", entities=[Plain, Booked], extensions=[More])], SERVED)
    assert {"bookings", "log_book"} <= set(graph.objects["Plain"].fields)
    assert list(graph.timelines) == ["log_book"]


def test_a_root_field_without_an_annotation() -> None:
    class Query:
        number = measure(booking_docs, by_day)

    refuses("Query.number", query=Query)


def test_a_timeline_is_no_projection() -> None:
    class Query:
        log: Guest | None = get(log_book)  # type: ignore[arg-type]  # on purpose

    refuses("a Timeline stands where a Projection should", "Query.log", "with timeline(...)", query=Query)


def test_a_projection_that_keeps_no_measures_yet() -> None:
    class Guest:
        number: int = measure(guest_docs, stray)

    refuses("does not keep the measure 'stray'", "add it there: the projection keeps none yet", guest=Guest)


def test_what_is_no_declaration_is_told_by_its_type() -> None:
    class Guest:
        number: int = booking_docs.measures  # type: ignore[assignment]  # on purpose

    refuses("number is set to a list", "Guest.number", "measure or timeline", guest=Guest)


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("5.5", "5.50"),
        ("5.125", "5.125"),
        ("4", "4.00"),
        ("-1E+2", "-100.00"),
        ("9" * 24, "9" * 24 + ".00"),
        (None, "None"),
    ],
)
async def test_an_extreme_has_its_places_and_all_its_digits(number: str | None, shown: str) -> None:
    async def asked() -> Decimal | None:
        return None if number is None else Decimal(number)

    assert str(await shown_number(asked(), FieldType(Decimal, nullable=True), best_tip, "bestTip")) == shown


ordered_docs = Projection(
    name="ordered", version=1, topics=["g"], aggregate="guest", state=True, evolve=evolve_guest, version_of="lsn"
)


@pytest.mark.parametrize(
    ("docs", "words"), [(guest_docs, "How many events the owner had recorded."), (ordered_docs, "not a count")]
)
def test_a_version_says_what_it_is(docs: Any, words: str) -> None:
    class Visitor:
        name: str

    class Query:
        visitor = get(docs)

    shown = entity(docs)(Visitor)
    Query.__annotations__ = {"visitor": shown | None}
    made = compose([BoundedContext("hotel", entities=[shown], query=Query)], [docs]).schema.type_map["Visitor"]
    assert isinstance(made, GraphQLObjectType)
    assert words in (made.fields["version"].description or "")
