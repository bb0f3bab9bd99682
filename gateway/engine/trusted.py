"""Trusted documents: operations that are known before anybody asks, compiled before the gateway is ready.

Invariants: read once; what does not fit is named with all others that do not.

They come in a folder of `*.graphql` and `*.gql` files (the name is the path without its ending), or in a manifest: JSON that maps
a name or hash to a text, as Relay's persisted queries do, or Apollo's
`{"format": "apollo-persisted-query-manifest", "operations": [{"id", "body"}]}`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.engine.documents import Documents, Operation
from gateway.engine.engine import MAX_VARIANTS, Engine
from gateway.errors import ForbiddenError, RequestError, TrustedDocumentsError
from schema.ports import ANONYMOUS

_ENDINGS: Final = (".graphql", ".gql")


class _NoManifestError(Exception):
    """What is there is not of either form."""


class _ManifestOperation(msgspec.Struct):
    id: str
    body: str


class _Manifest(msgspec.Struct):
    format: str
    operations: list[_ManifestOperation]


def read_trusted(path: Path) -> dict[str, str]:
    """Texts by name. Raises TrustedDocumentsError for a path that cannot be read as either, or a name that is there twice."""
    try:
        named = _folder(path) if path.is_dir() else _manifest(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise TrustedDocumentsError([f"{path} cannot be read: {error}"]) from None
    except _NoManifestError as fault:
        raise TrustedDocumentsError([f"{path} is no manifest: {fault}"]) from None
    found = dict(named)
    if len(found) < len(named):
        names = [name for name, _ in named]
        raise TrustedDocumentsError([f"{path} has {name!r} more than once" for name in found if names.count(name) > 1])
    if not found:
        what = "no *.graphql or *.gql file in it" if path.is_dir() else "an empty manifest"
        raise TrustedDocumentsError([f"{path} has no document: {what}"])
    return found


def _folder(path: Path) -> list[tuple[str, str]]:
    files = sorted(file for file in path.rglob("*") if file.suffix in _ENDINGS and file.is_file())
    return [(file.relative_to(path).with_suffix("").as_posix(), file.read_text("utf-8")) for file in files]


def _manifest(data: bytes) -> list[tuple[str, str]]:
    """Names and texts in their order, a name as often as it is there."""
    try:
        text = data.decode("utf-8-sig")
        pairs = json.loads(text, object_pairs_hook=_Pairs)
    except (json.JSONDecodeError, RecursionError) as fault:
        raise _NoManifestError(f"not JSON ({fault})") from None
    if not isinstance(pairs, _Pairs):
        raise _NoManifestError(_FORMS)
    if all(isinstance(document, str) for _, document in pairs.items):
        return list(pairs.items)
    try:
        manifest = msgspec.json.decode(text, type=_Manifest)
    except msgspec.DecodeError as fault:
        raise _NoManifestError(f"{_FORMS} ({fault})") from None
    return [(operation.id, operation.body) for operation in manifest.operations]


class _Pairs:
    """A JSON object with what is in it twice."""

    def __init__(self, items: Iterable[tuple[str, Any]]) -> None:
        self.items = tuple(items)


_FORMS: Final = (
    'it is {"<name or hash>": "<text>"}, or '
    '{"format": "apollo-persisted-query-manifest", "operations": [{"id": "<hash>", "body": "<text>"}]}'
)


def pin(texts: Mapping[str, str], documents: Documents) -> dict[str, Operation]:
    """Keeps all of them for good: their operations by name. Raises TrustedDocumentsError naming each that does not fit."""
    found: dict[str, Operation] = {}
    problems: list[str] = []
    for name, text in texts.items():
        try:
            document = documents.pin(text)
        except RequestError as error:
            problems += [f"{name}: {told}" for told in _told(error)]
            continue
        for label, operation in document.operations.items():
            found[f"{name}#{label}" if len(document.operations) > 1 else name] = operation
    if problems:
        raise TrustedDocumentsError(problems)
    return found


def warm(operation: Operation, engine: Engine) -> Mapping[str, Any]:
    """Compiles an operation for every choice of flags of which a plan is kept, and what each takes of whoever runs it; tells the
    plan with everything in it.
    """
    return [_warm(operation, engine, flags) for flags in _flags(engine, operation)][-1]


def _warm(operation: Operation, engine: Engine, flags: Mapping[str, bool]) -> Mapping[str, Any]:
    with suppress(ForbiddenError):  # nobody asks yet: what it takes is kept, whoever may not run it
        engine.check(operation, flags, ANONYMOUS)
    return engine.told(operation, flags)


def _flags(engine: Engine, operation: Operation) -> Iterator[dict[str, bool]]:
    """Every choice of what @skip and @include go by, as far as plans are kept; that with all of them last."""
    names = engine.flag_names(operation)
    for choice in range(min(2 ** len(names), MAX_VARIANTS) - 1):
        yield {name: bool(choice >> place & 1) for place, name in enumerate(names)}
    yield dict.fromkeys(names, True)


def _told(error: RequestError) -> list[str]:
    return [
        f"{at['line']}:{at['column']} {told['message']}"
        if (at := (told.get("locations") or [None])[0])
        else told["message"]
        for told in error.errors
    ] or [str(error)]


def described(name: str, operation: Operation, plan: Mapping[str, Any]) -> str:
    """An operation for a person: what it costs without variables, and one line for each stop, or why there is no plan."""
    cost = f"{name}: cost {operation.cost.of({})}"
    if not plan["compiled"]:
        return f"{cost}, not compiled: {plan['because']}"
    stops = [f"  trip {stop['trip']}: {stop['path']}, {stop['reads']}" for stop in plan["stops"]]
    return "\n".join([f"{cost}, {counted(plan['roundTrips'], 'round trip', 'round trips')}", *stops])


def counted(count: int, one: str, many: str) -> str:
    """A number with its noun: 1 round trip, 2 round trips."""
    return f"{count} {one if count == 1 else many}"
