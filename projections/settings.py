"""Settings from environment variables: the reader that both floors use, and the settings of the projector.

Invariants: all problems are reported at once; a name under the prefix that nobody knows is a problem too; no message repeats a
secret, a URL or an item of a list, nor the words of a library about it.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from redis.asyncio.connection import parse_url

from projections.errors import SettingsError

S = TypeVar("S")

PREFIX: Final = "HEADRACE_"
GATEWAY_NAMES: Final = frozenset(
    PREFIX + name
    for name in (
        "COMMAND_TIMEOUT_MS",
        "HOST",
        "MAX_ALIASES",
        "MAX_CHARACTERS",
        "MAX_COST",
        "MAX_DEPTH",
        "MAX_DIRECTIVES",
        "MAX_FIELDS",
        "MAX_NODES",
        "MAX_ROOT_FIELDS",
        "MAX_TOKENS",
        "MAX_WAIT_MS",
        "OPERATION_TIMEOUT_MS",
        "PORT",
        "SERVICES",
        "SHOW_PLANS",
        "STORE_TIMEOUT_MS",
        "TOKEN_AUDIENCE",
        "TOKEN_KEYS",
        "TRUSTED_DOCUMENTS",
    )
)
"""Settings of the other process: one environment may serve both."""
_FILE: Final = "_FILE"
_METADATA: Final = "setting"
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,100}\Z")
"""What Kafka allows in the name of a group, with room for a projection's name and generation behind it."""


@dataclass(frozen=True)
class Kind:
    """How a text becomes a value: `parse` raises ValueError with what is wanted. `name` and `example` are for people."""

    name: str
    example: str
    parse: Callable[[str], Any]


@dataclass(frozen=True)
class Setting:
    """What a field says about its variable; `required` when it has no default."""

    help: str
    kind: Kind
    secret: bool = False


def setting(help: str, kind: Kind, *, default: Any = dataclasses.MISSING, secret: bool = False) -> Any:
    """A dataclass field that is read from `<prefix><NAME>`; a secret also from the file that `<prefix><NAME>_FILE` names."""
    metadata = {_METADATA: Setting(help, kind, secret)}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata, repr=not secret)
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


def described(cls: type[Any], prefix: str = PREFIX) -> dict[str, tuple[Setting, Any]]:
    """Setting and default (dataclasses.MISSING: required) by variable, in the order of the fields."""
    return {
        prefix + field.name.upper(): (field.metadata[_METADATA], field.default)
        for field in dataclasses.fields(cls)
        if _METADATA in field.metadata
    }


def read(cls: type[S], environ: Mapping[str, str], prefix: str = PREFIX, *, elsewhere: Collection[str] = ()) -> S:
    """The settings in an environment; an empty variable counts as absent.

    `elsewhere` are names that another process reads, itself or from their `_FILE`. Raises SettingsError with all problems.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    known = described(cls, prefix)
    for name, (about, default) in known.items():
        try:
            text = _text(name, about, environ)
            if text is not None:
                values[name.removeprefix(prefix).lower()] = about.kind.parse(text)
            elif default is dataclasses.MISSING:
                problems.append(f"{name} is missing: {about.help}; for example {name}={about.kind.example}")
        except ValueError as error:
            problems.append(f"{name} is not {about.kind.name}: {error}; for example {name}={about.kind.example}")
    secrets = [*(name for name, (about, _) in known.items() if about.secret), *elsewhere]
    problems += _strangers(environ, prefix, {*known, *elsewhere, *(name + _FILE for name in secrets)})
    if problems:
        raise SettingsError(problems)
    return cls(**values)


def _text(name: str, about: Setting, environ: Mapping[str, str]) -> str | None:
    text = environ.get(name) or None
    path = environ.get(name + _FILE) if about.secret else None
    if not path:
        return text
    if text is not None:
        raise ValueError(f"both {name} and {name}{_FILE} are set")
    try:
        return Path(path).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the file of {name}{_FILE} cannot be read: {type(error).__name__}") from None


def _strangers(environ: Mapping[str, str], prefix: str, known: set[str]) -> list[str]:
    words = [name.removeprefix(prefix) for name in known]
    problems = []
    for name in sorted(environ):
        if not name.startswith(prefix) or name in known:
            continue
        near = difflib.get_close_matches(name.removeprefix(prefix), words, n=1)
        problems.append(f"{name} is not a setting" + (f"; did you mean {prefix}{near[0]}?" if near else ""))
    return problems


def integer(low: int, high: int, *, example: int) -> Kind:
    """A whole number in a range."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ValueError(f"{text[:40]!r}") from None
        if not low <= number <= high:
            raise ValueError(f"{number} is out of range")
        return number

    return Kind(f"a whole number from {low} to {high}", str(example), parse)


def choice(*options: str) -> Kind:
    """One of a few words."""

    def parse(text: str) -> str:
        if text not in options:
            raise ValueError(f"{text[:40]!r}")
        return text

    return Kind("one of " + ", ".join(options), options[0], parse)


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(f"{text[:40]!r}")
    return text == "1"


def split_url(text: str) -> SplitResult:
    """The parts of a URL. Raises ValueError in words of our own: the library's repeat the URL, and with it a password."""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError("it is not a URL") from None
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("its port is not a number, or a '/' or '@' before the host is not percent-encoded") from None
    if "@" in parts.path + parts.query + parts.fragment:
        raise ValueError("there is an '@' behind its host: percent-encode the '/', '?' or '#' before it")
    return parts


def _redis_url(text: str) -> str:
    parts = split_url(text)
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("it does not begin with redis://, rediss:// or unix://")
    if parts.scheme != "unix" and not parts.hostname:
        raise ValueError("it names no host")
    try:
        parse_url(text)
    except ValueError:
        raise ValueError("one of its options, behind the '?', has no value of its kind") from None
    return text


def _hosts(text: str) -> str:
    for number, host in enumerate(text.split(","), 1):
        name, colon, port = host.rpartition(":")
        if not (colon and name and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65536):
            raise ValueError(f"item {number} is not host:port")
    return text


def _name(text: str) -> str:
    if not _PLAIN_NAME.match(text):
        raise ValueError(f"{text[:40]!r}")
    return text


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


FLAG: Final = Kind("0 or 1", "1", _flag)
REDIS_URL: Final = Kind("the URL of a Redis or Valkey server", "redis://127.0.0.1:6379", _redis_url)
HOSTS: Final = Kind("a list host:port,host:port", "127.0.0.1:9092", _hosts)
NAME: Final = Kind("a name of letters, digits, '.', '_' and '-'", "headrace", _name)
NAMES: Final = Kind("a list of names", "orders,payments", _names)


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """What every command of the projector needs to know: the store, and what is in it."""

    redis_url: str = setting("where the read models are kept", REDIS_URL, secret=True)
    redis_cluster: bool = setting("the store is a Redis Cluster", FLAG, default=False)
    buckets: int = setting(
        "shares of a projection: 1 on a single server, 16 on a cluster", integer(1, 1024, example=1), default=1
    )
    projections: tuple[str, ...] = setting("projections to run; all of the catalog when left out", NAMES, default=())
    quarantine_max: int = setting(
        "records that a bucket's quarantine may hold", integer(0, 1_000_000, example=10_000), default=10_000
    )
    queue_max: int = setting(
        "records that may wait behind one aggregate", integer(1, 100_000, example=1_000), default=1_000
    )
    log_level: str = setting(
        "least severe messages to show", choice("DEBUG", "INFO", "WARNING", "ERROR"), default="INFO"
    )


@dataclass(frozen=True, kw_only=True)
class WorkerSettings(StoreSettings):
    """What the projector needs to know to run: the log, and how to read it, too."""

    kafka_bootstrap: str = setting("brokers to ask for the others", HOSTS)
    group: str = setting("prefix of the consumer groups, one per projection", NAME, default="headrace")
    batch_records: int = setting("records that are fetched at a time", integer(1, 10_000, example=500), default=400)
    fetch_max_wait_ms: int = setting(
        "how long the broker may hold an empty answer back; 50 for the embedded broker",
        integer(1, 1_000, example=100),
        default=100,
    )
    session_timeout_ms: int = setting(
        "after so long without a sign of life the group gives a worker's partitions to others; brokers take 6000 at least",
        integer(500, 600_000, example=10_000),
        default=10_000,
    )
    failure_burst_percent: int = setting(
        "stop a projection when so many of its last 500 records fail; 0: never", integer(0, 100, example=50), default=50
    )
    exit_on_stdin_eof: bool = setting("stop when standard input ends, for a supervisor", FLAG, default=False)


def projector_settings(environ: Mapping[str, str], *, runs: bool) -> StoreSettings:
    """WorkerSettings for a command that `runs`; without, what concerns the log is neither asked for nor looked at.

    Raises SettingsError with all problems.
    """
    if runs:
        return read(WorkerSettings, environ, elsewhere=GATEWAY_NAMES)
    of_run = described(WorkerSettings).keys() - described(StoreSettings).keys()
    return read(StoreSettings, environ, elsewhere=GATEWAY_NAMES | of_run)
