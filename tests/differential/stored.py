"""Reads everything that a real server stores of a bucket, key by key, as the state of the Python model."""

from __future__ import annotations

from redis.asyncio import Redis

from projections.store.calls import partition
from projections.store.change import Append, Fence
from projections.store.document import unpack
from projections.store.keys import Bucket
from projections.store.model import BucketState

_READS = {b"string": ("GET",), b"hash": ("HGETALL",), b"zset": ("ZRANGE", 0, -1, "WITHSCORES")}


async def stored(admin: Redis, bucket: Bucket) -> BucketState:
    """The state of a bucket, the only one on its server. Raises AssertionError for a key that no layout names."""
    prefix = f"{bucket.tag}:".encode()
    keys: list[bytes] = await admin.keys("*")  # type: ignore[assignment]
    async with admin.pipeline(transaction=True) as pipe:
        for key in keys:
            pipe.type(key)
        kinds = await pipe.execute()
        for key, kind in zip(keys, kinds, strict=True):
            command, *words = _READS[kind]
            pipe.execute_command(command, key, *words)
        values = await pipe.execute()
    found = {key.removeprefix(prefix).decode(): value for key, value in zip(keys, values, strict=True)}
    state = BucketState()
    for place, value in found.items():
        name, _, rest = place.partition(":")
        if isinstance(value, dict):
            _take_hash(name, rest, value, state)
        elif isinstance(value, list):
            _take_sorted_set(name, rest, value, found.get(f"e:{rest}", {}), state)
        else:
            _take_string(name, rest, value, state)
    return state


def _take_sorted_set(
    name: str, rest: str, scored: list[tuple[bytes, float]], entries: dict[bytes, bytes], state: BucketState
) -> None:
    assert all(score == 0 for _, score in scored)
    if name != "t":
        state.lists[f"{name}:{rest}"] = {member for member, _ in scored}
        return
    ids = {member: member.rpartition(b"\0")[2] for member, _ in scored}
    assert sorted(ids.values()) == sorted(entries)
    state.timelines[rest] = {id.decode(): Append(rest, id.decode(), at, entries[id]) for at, id in ids.items()}


def _take_string(name: str, rest: str, value: bytes, state: BucketState) -> None:
    if name == "d":
        state.documents[rest] = unpack(value)
    elif name == "m":
        state.numbers[f"m:{rest}"] = int(value)
    else:
        assert (name, value) == ("built", b"1")
        state.is_built = True


def _take_hash(name: str, rest: str, fields: dict[bytes, bytes], state: BucketState) -> None:
    match name:
        case "pos":
            state.positions = {partition(at): int(offset) for at, offset in fields.items()}
        case "log":
            state.identities = {partition(at): identity.decode() for at, identity in fields.items()}
        case "fence":
            split = {at: text.decode().partition(" ") for at, text in fields.items()}
            state.fences = {partition(at): Fence(int(number), owner) for at, (number, _, owner) in split.items()}
        case "caught":
            assert set(fields.values()) == {b"1"}
            state.caught_up = {partition(at) for at in fields}
        case "quarantine":
            state.quarantine = {coordinates.decode(): entry for coordinates, entry in fields.items()}
        case "q":
            state.queues[rest] = {place.decode(): at.decode() for place, at in fields.items()}
        case _:
            assert name == "e", f"a hash {name}"
