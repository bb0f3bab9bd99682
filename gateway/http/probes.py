"""Probes and the schema: `/livez`, `/readyz`, `/schema.graphql`.

Invariants: liveness asks nobody; readiness asks the store, shortly, and tells the lag of each read model as its projector last
reported it, and whether it is being rebuilt: that one is does not make the gateway unready, the others are there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from gateway.engine.built import being_rebuilt
from gateway.engine.served import ReadModels
from gateway.errors import STORE_AWAY
from projections.errors import StoreError
from projections.lag import lag_of
from projections.store.port import ReaderStore

log = logging.getLogger(__name__)

STALE_REPORT_MS: Final = 5000
"""A projector reports every second; one that was silent for five is not known to be running."""


@dataclass(frozen=True)
class Probes:
    """Answers the probes. All parts are the composition root's."""

    store: ReaderStore
    models: ReadModels
    sdl: str

    async def livez(self, request: Request) -> Response:
        """200 while the process serves."""
        return PlainTextResponse("ok\n")

    async def readyz(self, request: Request) -> Response:
        """200 when the store answers and is laid out as this gateway reads it, else 503.

        The body tells each read model's lag (records), whether its projector reports, and whether it is being rebuilt.
        """
        buckets = self.models.buckets()
        try:
            reports = await self.store.reports(buckets)
            differing = await self._differing_buckets()
            rebuilding = await being_rebuilt(self.store, self.models)
        except StoreError as error:
            log.warning("not ready: %s", error)
            return JSONResponse({"ready": False, "store": STORE_AWAY}, status_code=503)
        if differing:
            log.error("HEADRACE_BUCKETS is not what the projector has: %s", differing)
            return JSONResponse({"ready": False, "buckets": differing}, status_code=503)
        by_projection: dict[str, list[Mapping[str, bytes]]] = {}
        for bucket, report in zip(buckets, reports, strict=True):
            by_projection.setdefault(bucket.projection, []).append(report)
        now_ms = int(time.time() * 1000)
        projections = {
            name: _state(name, found, now_ms) | {"rebuilding": name in rebuilding}
            for name, found in by_projection.items()
        }
        return JSONResponse({"ready": True, "projections": projections})

    async def _differing_buckets(self) -> dict[str, dict[str, int]]:
        """Projections that are stored in another number of buckets than this gateway looks into: it must not be asked."""
        found: dict[str, dict[str, int]] = {}
        for first in self.models.buckets():
            if first.number > 0:
                continue
            here = self.models.bucket_count(first.projection)
            stored = await self.store.bucket_count(first.projection, first.generation)
            if stored is not None and stored != here:
                found[first.projection] = {"here": here, "stored": stored}
        return found

    async def schema(self, request: Request) -> Response:
        """The SDL."""
        return PlainTextResponse(self.sdl)


def _state(name: str, reports: Sequence[Mapping[str, bytes]], now_ms: int) -> dict[str, Any]:
    """One read model: `lag` in records, `stalenessMs`, whether its projector works, and whether it has stopped
    and waits for a person; null is what nobody knows now."""
    try:
        lag = lag_of(reports)
    except (msgspec.DecodeError, ValueError):
        log.warning("the report of %s cannot be read: another build's?", name)
        lag = None
    if lag is None:
        return {"running": False, "stopped": False, "lag": None, "stalenessMs": None}
    is_heard = now_ms - lag.polled_ms < STALE_REPORT_MS
    return {
        "running": is_heard and not lag.is_stopped,
        "stopped": lag.is_stopped,
        "lag": lag.records if is_heard else None,
        "stalenessMs": lag.staleness_ms(now_ms),
    }
