"""The judge of answers under a token: what is older than asked for is a lie, alone and in a list; what was deleted since is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from gateway.consistency.token import TokenCodec
from tests.chaos.history import Fact, Message, message_of
from tests.chaos.models import ORDERS_TOPIC
from tests.chaos.reader import At, Published, Reader, Reads, is_true
from tests.serving import Client

ADA, BOB = "c-1", "c-2"


def fact(at: At, kind: str, customer: str = ADA, id: str = "o-1") -> Message:
    data = {"mark": 10 * at[0] + at[1], "customerId": customer, "amount": "1.00", "placedAt": "2026-01-01T00:00:00Z"}
    return message_of(Fact(10 * at[0] + at[1], ORDERS_TOPIC, id, *at, kind, data), 1)


PUBLISHED = Published(
    [
        fact((0, 3), "Removed"),  # in any order, and more than once
        fact((0, 1), "Placed"),
        fact((0, 2), "Added"),
        fact((0, 1), "Placed"),
        fact((0, 4), "Placed", BOB),
        fact((1, 1), "Placed", BOB),
        fact((0, 6), "Added"),
    ]
)


def shown(at: At) -> dict[str, Any] | None:
    """The answer that shows the order as it was then."""
    view = PUBLISHED.states["o-1"][at]
    if view is None:
        return None
    return {"key": "o-1", "version": at[1], **{name: view[name] for name in ("customerId", "folded", "trail")}}


def one(row: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"order": row}


def rows(*found: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"orders": {"nodes": found, "pageInfo": {"hasNextPage": False}}}


def test_what_follows_on_a_version_that_is_missing_is_not_known() -> None:
    assert sorted(PUBLISHED.states["o-1"]) == [(0, 1), (0, 2), (0, 3), (0, 4), (1, 1)]


@pytest.mark.parametrize("at", [(0, 1), (0, 2), (0, 4), (1, 1)])
def test_an_order_as_new_as_asked_for_is_true(at: At) -> None:
    assert is_true(PUBLISHED, "o-1", at, None, one(shown(at)))
    assert is_true(PUBLISHED, "o-1", (0, 1), None, one(shown(at)))


@pytest.mark.parametrize(("asked", "got"), [((0, 2), (0, 1)), ((0, 4), (0, 2)), ((1, 1), (0, 4))])
def test_an_older_one_is_a_lie(asked: At, got: At) -> None:
    assert not is_true(PUBLISHED, "o-1", asked, None, one(shown(got)))


def test_one_that_is_not_there_is_true_when_it_was_removed_since() -> None:
    assert is_true(PUBLISHED, "o-1", (0, 3), None, one(None))
    assert not is_true(PUBLISHED, "o-1", (0, 4), None, one(None))


def test_a_version_with_what_another_one_had_is_a_lie() -> None:
    row = shown((0, 2))
    assert row
    assert not is_true(PUBLISHED, "o-1", (0, 1), None, one({**row, "trail": row["trail"] + 1}))


def test_a_list_has_it_as_new_as_asked_for_or_it_is_elsewhere_by_then() -> None:
    assert is_true(PUBLISHED, "o-1", (0, 2), ADA, rows(shown((0, 2))))
    assert not is_true(PUBLISHED, "o-1", (0, 2), ADA, rows(shown((0, 1))))
    assert is_true(PUBLISHED, "o-1", (0, 2), ADA, rows())  # removed, and another customer's since
    assert is_true(PUBLISHED, "o-1", (0, 4), ADA, rows())
    assert not is_true(PUBLISHED, "o-1", (0, 4), BOB, rows())


async def test_every_answer_is_counted_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.chaos.reader.LATEST_SHARE", 1)
    old = shown((0, 1))
    answers = [
        {"data": one(old), "extensions": {"consistency": {"satisfied": True}}},
        {"data": one(old), "extensions": {"consistency": {"satisfied": False}}},
        {"data": one(None), "errors": [{}], "extensions": {"consistency": {"satisfied": False}}},
    ]

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answers.pop(0))

    messages = [fact((0, 1), "Placed"), fact((0, 2), "Removed")]
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://gateway.test") as http:
        reader = Reader(Client(http), TokenCodec({"t1": b"k" * 32}, "headrace"), messages, seed=1)
        for _ in range(3):
            await reader.read_once()
    assert reader.found.figures() == {"reads": 3, "satisfied": 1, "unsatisfied": 1, "refused": 1, "lies": 1}
    assert "(0, 2)" in reader.found.told[0]
    assert not reader.found.is_met
    assert not Reads(satisfied=5).is_met
    assert Reads(satisfied=5, unsatisfied=1).is_met
