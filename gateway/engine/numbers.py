"""Edges to measures, and values in the wire form of their fields.

Invariants: a value that its field's type cannot hold raises PlanBrokenError: the plain executor then says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from gateway.engine.errors import PlanBrokenError
from gateway.engine.measures import in_type
from gateway.engine.run import Edge, Run
from gateway.engine.served import Served
from gateway.errors import UnreadableDocumentError
from projections.measure import Measure
from projections.shape import FieldType
from projections.wire import MAX_INT, MIN_INT
from schema.scalars import write_datetime

Show = Callable[[Any], Any]


@dataclass(eq=False)
class Measured(Edge):
    """A number that is kept for the value in the attribute."""

    attribute: str
    served: Served
    measure: Measure[Any]
    kind: FieldType
    name: str
    show: Show

    def ask(self, parents: Sequence[Any], run: Run) -> Any:
        measure, attribute = self.measure, self.attribute
        query = self.served.measure_query
        return run.asking().measures([query(measure, getattr(parent, attribute), run.claims) for parent in parents])

    def settle(self, parents: Sequence[Any], places: Any, run: Run) -> None:
        for place, parent in zip(places, parents, strict=True):
            stored = run.answer.measures[place]
            value: Any
            if isinstance(stored, Exception):
                value = run.failed(stored)
            else:
                try:
                    number = self.served.number(self.measure, stored)
                    value = self.show(in_type(number, self.kind, self.measure, self.name))
                except UnreadableDocumentError as error:
                    value = run.failed(error)
                except PlanBrokenError as reason:
                    value = run.unfit(reason)
            setattr(parent, self.attribute, value)


def shower(kind: FieldType) -> Show:
    """What turns a value of an annotated type into its wire form."""
    item = _item_shower(kind.item)

    def show(value: Any) -> Any:
        if value is None:
            if not kind.nullable:
                raise PlanBrokenError("a null where none may be")
            return None
        if not kind.is_list:
            return item(value)
        if not isinstance(value, list | tuple):
            raise PlanBrokenError("not a list")
        if not kind.item_nullable and None in value:
            raise PlanBrokenError("a null in a list where none may be")
        return [None if one is None else item(one) for one in value]

    return show


def _item_shower(kind: type[Any]) -> Show:
    if issubclass(kind, Enum):
        return lambda value: _checked(value, kind).name  # stored by value, shown by name
    if kind is Decimal:
        return lambda value: format(_checked(value, Decimal), "f")
    if kind is datetime:
        return lambda value: write_datetime(_checked(value, datetime))
    if kind in _AS_THEY_ARE:
        return _AS_THEY_ARE[kind]
    raise PlanBrokenError(f"nothing shows a {kind.__name__}")


def _checked(value: Any, kind: type[Any]) -> Any:
    if type(value) is not kind:
        raise PlanBrokenError(f"a {type(value).__name__} where a {kind.__name__} should be")
    return value


def _int(value: Any) -> int:
    number: int = _checked(value, int)
    if not MIN_INT <= number <= MAX_INT:
        raise PlanBrokenError("a number beyond 32 bits")
    return number


def _float(value: Any) -> float:
    number: float = _checked(value, float)
    if number != number or number in (float("inf"), float("-inf")):
        raise PlanBrokenError("a number that is not finite")
    return number


def _date(value: Any) -> str:
    day: date = _checked(value, date)
    return day.isoformat()


_AS_THEY_ARE: Final[dict[type[Any], Show]] = {
    str: lambda value: _checked(value, str),
    bool: lambda value: _checked(value, bool),
    int: _int,
    float: _float,
    date: _date,
}
