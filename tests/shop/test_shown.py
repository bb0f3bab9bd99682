"""`make run` says `ready` when the query that it prints has a whole answer and nothing is being built any more."""

from typing import Any

import pytest

from examples.shop.run import is_built, is_whole


def answer(**changed: Any) -> dict[str, Any]:
    order = {
        "status": "COMPLETED",
        "customer": {"name": "Nell Gwynn"},
        "lines": [{"number": 1, "product": {"title": "Lamp"}}, {"number": 2, "product": {"title": "Pot"}}],
        "payments": [{"status": "CAPTURED"}],
        "shipments": [{"status": "DELIVERED", "lineNumbers": [1]}, {"status": "DELIVERED", "lineNumbers": [2]}],
    }
    return {"data": {"order": order | changed}}


def test_an_answer_with_all_that_the_contexts_know_is_whole() -> None:
    assert is_whole(answer())


@pytest.mark.parametrize(
    "partly",
    [
        {"data": None, "errors": [{"message": "the read model is being rebuilt"}]},
        {"data": {"order": None}},
        answer() | {"errors": [{"path": ["order", "customer"]}]},
        answer(status="CONFIRMED"),
        answer(customer=None),
        answer(lines=[{"number": 1, "product": None}]),
        answer(payments=[]),
        answer(payments=[{"status": "AUTHORIZED"}]),
        answer(shipments=[{"status": "DELIVERED", "lineNumbers": [1]}]),
        answer(shipments=[{"status": "DISPATCHED", "lineNumbers": [1, 2]}]),
    ],
)
def test_an_answer_that_lacks_what_may_still_come_is_not(partly: dict[str, Any]) -> None:
    assert not is_whole(partly)


def test_built_is_what_no_read_model_contradicts() -> None:
    orders, catalog = {"rebuilding": False}, {"rebuilding": False}
    assert is_built({"ready": True, "projections": {"orders": orders, "catalog": catalog}})
    assert not is_built({"ready": True, "projections": {"orders": orders, "catalog": {"rebuilding": True}}})
    assert not is_built({"ready": False, "store": "the store does not answer"})
