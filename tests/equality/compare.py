"""Whether an answer is the expected one, and two answers are the same.

Invariants: data is compared as JSON text, so that the order of fields and the kind of numbers count; of errors inside of a null
that several may have brought about, one at least is told, and none that the oracle does not know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.equality.oracle import Error, Expected, Path_


@dataclass(frozen=True)
class Answer:
    """What a side answered. `was_compiled` is None for a side that compiles nothing."""

    data: Any
    errors: Sequence[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    has_data: bool = True
    was_compiled: bool | None = None
    trips: int = 0

    @property
    def located(self) -> list[Error]:
        """Path and code of each error."""
        return [(tuple(error.get("path", ())), error["extensions"]["code"]) for error in self.errors]


def differences(expected: Expected, found: Answer) -> list[str]:
    """In words, how an answer differs from what the oracle says; empty when it does not."""
    if expected.is_refused or not found.has_data:
        return _refusal(expected, found)
    told: list[str] = []
    if text(expected.data) != text(found.data):
        told.append(f"data: expected {text(expected.data)}\n      found    {text(found.data)}")
    located = found.located
    told += [f"an error twice: {error}" for error in set(located) if located.count(error) > 1]
    told += [f"nobody expects the error {error}" for error in sorted(set(located) - expected.errors, key=str)]
    voids = [region.path for region in expected.regions]
    for region in expected.regions:
        is_seen = not any(len(path) < len(region.path) and region.path[: len(path)] == path for path in voids)
        if is_seen and not region.errors & set(located):
            told.append(
                f"the null at {list(region.path)} has no error; there should be one of {sorted(region.errors, key=str)}"
            )
    return told


def unlike(one: Answer, other: Answer) -> list[str]:
    """In words, how two answers to the same question differ where they may not: data, and what is told of the same error."""
    told: list[str] = []
    if one.has_data != other.has_data or text(one.data) != text(other.data):
        told.append(f"data: {text(one.data)}\n      {text(other.data)}")
    known = {_place(error): error for error in one.errors}
    for error in other.errors:
        same = known.get(_place(error))
        if same is not None and {**same} != {**error}:
            told.append(f"one error, told in two ways: {same} and {error}")
    if not one.has_data and _messages(one) != _messages(other):
        told.append(f"refused in two ways: {_messages(one)} and {_messages(other)}")
    return told


def one_sided(one: Answer, other: Answer) -> list[str]:
    """In words, which errors only `one` has: they may lie in a null for which `other` has an error of its own."""
    told: list[str] = []
    for path, code in set(one.located) - set(other.located):
        void = _void(one.data, path)
        if not any(at[: len(void)] == void for at, _ in other.located):
            told.append(f"only one side has {(path, code)}")
    return told


def _void(data: Any, path: Path_) -> Path_:
    """The null in the data that an error's place lies in."""
    for length, step in enumerate(path):
        if data is None:
            return path[:length]
        data = data[step]
    return path


def text(data: Any) -> str:
    """JSON with the order of its fields."""
    return json.dumps(data, ensure_ascii=False)


def _refusal(expected: Expected, found: Answer) -> list[str]:
    codes = {code for _, code in found.located}
    if expected.is_refused and not found.has_data and codes == {"BAD_USER_INPUT"}:
        return []
    return [f"expected {'a refusal' if expected.is_refused else 'data'}, found {found}"]


def _place(error: Mapping[str, Any]) -> Path_:
    return tuple(error.get("path", ()))


def _messages(answer: Answer) -> list[str]:
    return sorted(str(error["message"]) for error in answer.errors)
