"""The composition root's own rules: which projections run, and that none may end unnoticed."""

import asyncio
import gc
from typing import Any

import pytest

from projections.consume import Consumer
from projections.errors import SettingsError
from projections.log.memory import MemoryBroker, MemoryLog
from projections.store.memory import MemoryStore
from projections.telemetry import Instruments
from projections.worker import _consume, selected, spare_collections
from tests.unit.projections.samples import cart_states, carts


def test_all_projections_or_those_that_are_named() -> None:
    assert selected([carts, cart_states], ()) == (carts, cart_states)
    assert selected([carts, cart_states], ("cart_states",)) == (cart_states,)
    assert selected([carts, cart_states], ("carts", "carts")) == (carts,)
    with pytest.raises(SettingsError, match="no projection 'cats'; there are carts, cart_states"):
        selected([carts, cart_states], ("carts", "cats"))


def consumer(projection: Any) -> Consumer:
    return Consumer(projection, MemoryLog(MemoryBroker()), MemoryStore(), instruments=Instruments())


async def test_a_consumer_that_ends_by_itself_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    lost, kept = consumer(carts), consumer(cart_states)

    async def stray() -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(lost, "run", stray)
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(5.0):
            await _consume([lost, kept], asyncio.Event(), lambda: None)
    assert caught.group_contains(RuntimeError, match="consumer of carts ended")


async def test_ready_is_told_once_and_a_stop_ends_all() -> None:
    stop, told = asyncio.Event(), []

    def ready() -> None:
        told.append("ready")
        stop.set()

    async with asyncio.timeout(5.0):
        await _consume([consumer(carts), consumer(cart_states)], stop, ready)
    assert told == ["ready"]


async def test_a_consumer_that_does_not_stop_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("projections.worker.STOP_WITHIN_S", 0.01)
    stuck, stop = consumer(carts), asyncio.Event()

    async def forever() -> None:
        stop.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(stuck, "run", forever)
    async with asyncio.timeout(5.0):
        await _consume([stuck], stop, lambda: None)
    assert "carts did not stop within 0.01 s" in caplog.text


def test_what_is_there_when_all_is_set_up_is_not_walked_again() -> None:
    kept = [object()]
    before = gc.get_freeze_count()
    try:
        spare_collections()
        assert gc.get_freeze_count() > before
        assert all(found is not kept for found in gc.get_objects())
    finally:
        gc.unfreeze()
