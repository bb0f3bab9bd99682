"""Reads everything that a `MemoryStore` keeps of the read models, as `stored` does of a server.

Invariants: to be called between two steps of the loop; looks at the state itself, not through the store's answers.
"""

from __future__ import annotations

import json
from collections import defaultdict

from projections.log.port import Partition
from projections.store.document import PARKED
from projections.store.keys import bucket_of
from projections.store.memory import MemoryStore
from projections.store.model import BucketState
from tests.chaos.contents import Doc, Model
from tests.chaos.stored import happened


def remembered(store: MemoryStore, buckets: int) -> dict[str, Model]:
    """All models in the store, by the name of their projection."""
    models: defaultdict[str, Model] = defaultdict(Model)
    members: defaultdict[tuple[str, str], list[bytes]] = defaultdict(list)
    for bucket, state in store.buckets.items():
        model = models[bucket.projection]
        _take(model, bucket.number, state, buckets)
        for name, found in state.lists.items():
            members[bucket.projection, name] += found
    for (projection, name), entries in members.items():
        if entries:
            models[projection].lists[name] = [entry.rpartition(b"\0")[2].decode() for entry in sorted(entries)]
    return dict(models)


def _take(model: Model, number: int, state: BucketState, buckets: int) -> None:
    for id, document in state.documents.items():
        view = None if document.view is None else json.loads(document.view)
        model.documents[id] = Doc(document.epoch, document.version, view, bool(document.flags & PARKED))
        if bucket_of(id, buckets) != number:
            model.unknown.append(f"document {id} in bucket {number}")
    for name, total in state.numbers.items():
        model.numbers[name] = model.numbers.get(name, 0) + total
    for key, appends in state.timelines.items():
        order = sorted(append.member for append in appends.values())
        model.timelines[key] = list(happened(order, {id.encode(): append.entry for id, append in appends.items()}))
    model.queues |= {id: dict(queue) for id, queue in state.queues.items() if queue}
    model.quarantine |= state.quarantine.keys()
    model.positions[number] = {str(at): offset for at, offset in state.positions.items()}
    if state.is_built:
        model.built.add(number)
    if state.count is not None:
        model.bucket_count = state.count


def positions_of(store: MemoryStore, buckets: int) -> dict[tuple[str, int, Partition], int]:
    """Every position by projection, bucket and partition."""
    return {
        (bucket.projection, bucket.number, at): offset
        for bucket, state in store.buckets.items()
        if bucket.number < buckets
        for at, offset in state.positions.items()
    }
