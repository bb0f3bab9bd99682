"""Which read models are being rebuilt: those with a bucket that is not whole yet.

Invariants: asks the store as a read does, so it says what a read meets.
"""

from __future__ import annotations

from typing import Final

from gateway.engine.served import ReadModels
from projections.errors import RebuildingError
from projections.store.port import ReaderStore, Wanted

NOBODY: Final = ""
"""The id of no aggregate: its document is missing, which in a bucket that is not whole is an answer of its own."""


async def being_rebuilt(store: ReaderStore, models: ReadModels) -> list[str]:
    """Names of projections and timelines, sorted. One round trip. Raises StoreError."""
    buckets = models.buckets()
    answer = await store.read(Wanted({bucket: [NOBODY] for bucket in buckets}))
    return sorted({bucket.projection for bucket in buckets if isinstance(answer.documents[bucket][0], RebuildingError)})
