"""The values an author declares a read model with: Event, View, Part, Index, Projection.

Invariants: every value is frozen and checked when it is built, so a wrong declaration fails on import with a `DefinitionError`
that says what, where and how to mend; nothing is registered anywhere.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Generic, TypeVar, dataclass_transform

import msgspec
from msgspec.structs import replace

from projections.arguments import check_type
from projections.errors import DefinitionError
from projections.index import Index, check_indexes
from projections.measure import Measure, check_measures
from projections.shape import NAME, members, struct_fields, type_hints
from projections.upcasts import upcasts_of

__all__ = ["Event", "Index", "Part", "Personal", "PersonalMark", "Projection", "View", "replace"]

_ATTRIBUTE: Final = re.compile(r"[a-z0-9]{1,20}\Z")

T = TypeVar("T")


@dataclass(frozen=True)
class PersonalMark:
    """Marks a field as personal data (see `Personal`)."""


Personal = Annotated[T, PersonalMark()]
"""`email: Personal[str | None]`: personal data. Recorded on the field; logs, traces and erasure go by it."""


class KeywordOnly(msgspec.StructMeta):
    """Makes subclasses keyword-only too: msgspec applies the option to the class that names it alone, and an author's field
    with a default may come before one without.
    """

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
        options.setdefault("kw_only", True)
        options.setdefault(
            "gc", False
        )  # a frozen value of the grammar holds no circle: nothing for the collector to look at
        try:
            return super().__new__(cls, name, bases, namespace, **options)
        except ValueError as error:  # msgspec's, about names that collide once they are camelCase
            place = f"{namespace.get('__module__')}.{namespace.get('__qualname__', name)}"
            raise DefinitionError(str(error), where=place, mend="rename one of the fields") from None


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Event(msgspec.Struct, metaclass=KeywordOnly, frozen=True, rename="camel"):
    """A fact of one type, as published; subclass it with the fields that the read model needs.

    The class is named after the last part of the CloudEvents type (`shop.orders.OrderPlaced` -> `OrderPlaced`); set
    `event_type` to the whole type where two topics share a name. Fields are camelCase in JSON. Unknown fields are tolerated;
    datetimes must carry a zone and arrive in `evolve` as UTC.
    """

    event_type: ClassVar[str | None] = None


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class View(msgspec.Struct, metaclass=KeywordOnly, frozen=True, rename="camel"):
    """A stored read model of one aggregate. Its key and version come with it and are not declared.

    Fields are str, int, float, bool, Decimal, date, datetime, an Enum of strings, a `Part`, a list of these, or `| None`.
    """


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Part(msgspec.Struct, metaclass=KeywordOnly, frozen=True, rename="camel"):
    """An object nested in an event or a view, such as an order's line."""


V = TypeVar("V", bound=View)
E = TypeVar("E", bound=Event)


@dataclass(frozen=True, kw_only=True)
class Projection(Generic[V, E]):
    """How the events of one kind of aggregate become stored views: a frozen value, given to the catalog.

    Args:
        name: unique among projections; part of every key.
        version: the generation; raise it when `evolve`, the view or the indexes change, and the read model is built anew.
        topics: where the aggregate's records are.
        aggregate: the part of `ce_subject` before the slash, "order".
        evolve: `(view | None, event) -> view | None`, a pure total function; returning None deletes.
        indexes: the lists to keep.
        state: True for compacted state topics: each record is the whole state, gaps are healed by later records, a null
            value deletes. False for domain events, which are folded one after another.
        measures: the numbers to keep.
        upcasts: `(old event) -> event` for types that are no longer published but still in the log; pure functions, annotated;
            the event may be an old one again that another upcast takes.
        version_of: for state topics whose records carry no +1 versions: the CloudEvents attribute that orders them, a whole
            number below 2^62 (a log sequence number) or a time (RFC 3339); newer wins, gaps mean nothing.

    Raises:
        DefinitionError: anything that does not fit.
    """

    name: str
    version: int
    topics: Sequence[str]
    aggregate: str
    evolve: Callable[[V | None, E], V | None]
    indexes: Sequence[Index[V]] = ()
    state: bool = False
    measures: Sequence[Measure[V]] = ()
    upcasts: Sequence[Callable[[Any], Event]] = ()
    version_of: str | None = None
    view: type[V] = field(init=False, repr=False)
    events: Mapping[str, type[E]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        where = f"Projection {self.name!r}"
        for label, value in (("name", self.name), ("aggregate", self.aggregate)):
            check_type(value, str, label, where)
            if not NAME.match(value):
                raise DefinitionError(
                    f"{label} {value!r} is not a plain name", where=where, mend="use a-z, 0-9 and _, at most 63"
                )
        check_type(self.version, int, "version", where)
        if not 1 <= self.version < 2**31:
            raise DefinitionError(f"version {self.version} is out of range", where=where, mend="count from 1")
        check_type(self.state, bool, "state", where)
        check_topics(self.topics, where)
        view, events = _fold_types(self.evolve, where)
        object.__setattr__(self, "view", view)
        object.__setattr__(self, "events", events)
        struct_fields(view, where=f"{where}, view {view.__name__}")
        for event in events.values():
            struct_fields(event, where=f"{where}, event {event.__name__}")
        check_indexes(self.indexes, struct_fields(view, where=where), view.__name__, where)
        check_measures(self.measures, self.indexes, struct_fields(view, where=where), view, where)
        upcasts_of(self.upcasts, events, Event, where)
        _check_order(self.version_of, self.state, where)

    def measure(self, name: str) -> Measure[V]:
        """The measure of that name. Raises KeyError."""
        for measure in self.measures:
            if measure.name == name:
                return measure
        raise KeyError(name)

    def index(self, name: str) -> Index[V]:
        """The index of that name. Raises KeyError."""
        for index in self.indexes:
            if index.name == name:
                return index
        raise KeyError(name)


def _check_order(version_of: str | None, state: bool, where: str) -> None:
    if version_of is None:
        return
    check_type(version_of, str, "version_of", where)
    if not _ATTRIBUTE.match(version_of):
        mend = 'name a CloudEvents attribute without its prefix, a-z and 0-9, such as "time"'
        raise DefinitionError(f"version_of {version_of!r} is no attribute", where=where, mend=mend)
    if not state:
        raise DefinitionError(
            "version_of on a fold: a fold must see every version, and with these numbers it cannot tell a gap",
            where=where,
            mend="leave version_of out, or set state=True if each record is the whole state",
        )


def check_topics(topics: Sequence[str], where: str) -> None:
    """Raises DefinitionError unless they are names, each once."""
    mend = "name the topics that carry the aggregate's records, as a list"
    if isinstance(topics, str):
        raise DefinitionError("topics is a text: each of its letters would be a topic", where=where, mend=mend)
    if not isinstance(topics, Sequence):
        raise DefinitionError(f"topics is {topics!r}, not a list", where=where, mend=mend)
    if not topics:
        raise DefinitionError("no topics", where=where, mend=mend)
    for number, topic in enumerate(topics):
        if not isinstance(topic, str) or not topic:
            raise DefinitionError(f"topic {topic!r} is no name", where=where, mend=mend)
        if topic in topics[:number]:
            raise DefinitionError(f"topic {topic!r} is named twice", where=where, mend=mend)


_FOLD: Final = (
    "write it as `def evolve(view: MyView | None, event: A | B) -> MyView | None`, with a body that does not await"
)


def _annotations(evolve: Callable[..., Any], where: str) -> tuple[str, Any, Any, Any]:
    """The name of the fold, and its annotations of view, event and result."""
    if not callable(evolve):
        raise DefinitionError(f"evolve is {evolve!r}, not a function", where=where, mend=_FOLD)
    called = evolve if inspect.isroutine(evolve) else type(evolve).__call__
    name = getattr(evolve, "__qualname__", type(evolve).__qualname__)
    if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
        raise DefinitionError(f"{name} is asynchronous: a fold is pure", where=where, mend=_FOLD)
    parameters = list(inspect.signature(evolve).parameters.values())
    if len(parameters) != 2 or any(found.kind not in _POSITIONAL for found in parameters):
        raise DefinitionError(f"{name} does not take (view, event) and nothing else", where=where, mend=_FOLD)
    hints = type_hints(called, name, where=where)
    if any(found.name not in hints for found in parameters) or hints.get("return") is None:
        raise DefinitionError(f"{name} is not annotated as a fold", where=where, mend=_FOLD)
    view, event = (hints[found.name] for found in parameters)
    return name, view, event, hints["return"]


_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _fold_types(evolve: Callable[..., Any], where: str) -> tuple[Any, dict[str, Any]]:
    """The view type and the events by type name, read from the annotations of `evolve(view, event)`."""
    fold, first, second, result = _annotations(evolve, where)
    views = [kind for kind in members(first) if kind is not type(None)]
    if len(views) != 1 or not (isinstance(views[0], type) and issubclass(views[0], View)):
        raise DefinitionError(f"{fold} folds no single View", where=where, mend=_FOLD)
    if len(views) == len(members(first)):
        raise DefinitionError(
            f"{fold} does not take None, which it gets before the first event", where=where, mend=_FOLD
        )
    if not set(members(result)) <= {views[0], type(None)}:
        raise DefinitionError(f"{fold} returns something else than its view", where=where, mend=_FOLD)
    events: dict[str, Any] = {}
    for kind in members(second):
        if not (isinstance(kind, type) and issubclass(kind, Event)):
            raise DefinitionError(f"{kind!r} in {fold} is not an Event", where=where, mend=_FOLD)
        name = kind.event_type or kind.__name__
        if name in events:
            raise DefinitionError(f"two events of type {name!r}", where=where, mend="set event_type on one of them")
        events[name] = kind
    return views[0], events
