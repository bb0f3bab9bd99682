"""The gateway's settings, from environment variables (projections/settings.py reads them).

Invariants: read once, at the entry point; all problems at once; names of the projector's settings are known and ignored.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.engine.limits import Limits
from gateway.engine.run import MAX_NODES
from projections.settings import (
    FLAG,
    REDIS_URL,
    Kind,
    WorkerSettings,
    choice,
    described,
    integer,
    read,
    setting,
    split_url,
)

MIN_KEY_BYTES: Final = 32


def _services(text: str) -> dict[str, str]:
    """Items are told by number: one in the wrong place may be a secret."""
    found: dict[str, str] = {}
    for number, item in enumerate(text.split(","), 1):
        name, equals, url = item.strip().partition("=")
        if not equals or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError(f"item {number} does not read context=url")
        if "@" in url:
            raise ValueError(f"the address in item {number} holds credentials, which have no place there")
        try:
            parts = split_url(url)
        except ValueError as error:
            raise ValueError(f"the address in item {number} is not an http(s) base URL: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"the address in item {number} is not an http(s) base URL")
        if name in found:
            raise ValueError(f"item {number} names a context that an earlier one names")
        found[name] = url.rstrip("/")
    return found


def _token_keys(text: str) -> dict[str, bytes]:
    """Items are told by number: with id and secret swapped, the id is the secret."""
    found: dict[str, bytes] = {}
    for number, item in enumerate(text.split(","), 1):
        name, colon, secret = item.strip().partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9_-]{1,16}", name):
            raise ValueError(f"item {number} does not read id:secret, with an id of 1 to 16 letters")
        try:
            key = base64.b64decode(secret + "=" * (-len(secret) % 4), altchars=b"-_", validate=True)
        except ValueError:  # binascii's errors, and those about characters that are not ASCII
            raise ValueError(f"the secret of item {number} is not base64url") from None
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"the secret of item {number} has {len(key)} bytes, it needs {MIN_KEY_BYTES}")
        if name in found:
            raise ValueError(f"item {number} has the id of an earlier one")
        found[name] = key
    return found


def _word(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text):
        raise ValueError("it is not 1 to 64 letters, digits, '.', '_' or '-'")
    return text


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_-]{1,255}", text):
        raise ValueError("it is not a name or an address")
    return text


SERVICES: Final = Kind("a list context=url,context=url", "orders=http://orders:8080", _services)
TOKEN_KEYS: Final = Kind("a list id:secret,id:secret (base64url, 32 bytes or more)", "k1:<base64url>", _token_keys)
PATH: Final = Kind("a path", "/etc/headrace/operations", str)
WORD: Final = Kind("a short name", "production", _word)
HOST: Final = Kind("an address to listen on", "0.0.0.0", _host)  # noqa: S104 - an example


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """What the gateway needs to know."""

    redis_url: str = setting("where the read models are kept", REDIS_URL, secret=True)
    redis_cluster: bool = setting("the store is a Redis Cluster", FLAG, default=False)
    services: Mapping[str, str] = setting("base URLs of the write services", SERVICES)
    token_keys: Mapping[str, bytes] = setting(
        "secrets of the consistency token; the first signs, all are accepted", TOKEN_KEYS, secret=True
    )
    token_audience: str = setting(
        "which deployment the tokens are for; another one's are refused", WORD, default="headrace"
    )
    host: str = setting("where to listen", HOST, default="127.0.0.1")
    port: int = setting("where to listen", integer(1, 65535, example=8000), default=8000)
    buckets: int = setting("shares of a projection, as the projector has them", integer(1, 1024, example=1), default=1)
    max_wait_ms: int = setting(
        "the longest wait that a request may ask for", integer(0, 60_000, example=2000), default=2000
    )
    store_timeout_ms: int = setting(
        "how long a trip to the store may take", integer(10, 60_000, example=1000), default=1000
    )
    command_timeout_ms: int = setting(
        "how long a command may take before its outcome is unknown", integer(10, 300_000, example=5000), default=5000
    )
    operation_timeout_ms: int = setting(
        "how long a query may take in all", integer(10, 300_000, example=10_000), default=10_000
    )
    max_nodes: int = setting(
        "objects that an answer may have", integer(1, 10_000_000, example=100_000), default=MAX_NODES
    )
    trusted_documents: str = setting(
        "a folder or manifest of operations that are compiled before the gateway is ready", PATH, default=""
    )
    show_plans: bool = setting(
        "show plans to requests that ask for them, by extensions.plan or Headrace-Plan", FLAG, default=False
    )
    max_characters: int = setting(
        "the longest document, in characters", integer(1, 262_144, example=65_536), default=Limits.characters
    )
    max_tokens: int = setting("tokens of a document", integer(1, 100_000, example=2000), default=Limits.tokens)
    max_depth: int = setting("levels of fields of an operation", integer(1, 100, example=15), default=Limits.depth)
    max_fields: int = setting(
        "fields that a document selects, a fragment as often as it is spread",
        integer(1, 100_000, example=1000),
        default=Limits.fields,
    )
    max_aliases: int = setting("of these, with an alias", integer(0, 100_000, example=100), default=Limits.aliases)
    max_directives: int = setting(
        "directives, counted likewise", integer(0, 100_000, example=100), default=Limits.directives
    )
    max_root_fields: int = setting(
        "fields of Query or Mutation in an operation", integer(1, 10_000, example=20), default=Limits.root_fields
    )
    max_cost: int = setting(
        "what an operation may cost before it is run", integer(1, 100_000_000, example=30_000), default=Limits.cost
    )
    exit_on_stdin_eof: bool = setting("stop when standard input ends, for a supervisor", FLAG, default=False)
    log_level: str = setting(
        "least severe messages to show", choice("DEBUG", "INFO", "WARNING", "ERROR"), default="INFO"
    )

    @property
    def limits(self) -> Limits:
        """What a document may have."""
        return Limits(
            characters=self.max_characters,
            tokens=self.max_tokens,
            depth=self.max_depth,
            fields=self.max_fields,
            aliases=self.max_aliases,
            directives=self.max_directives,
            root_fields=self.max_root_fields,
            cost=self.max_cost,
        )


def gateway_settings(environ: Mapping[str, str]) -> GatewaySettings:
    """Raises SettingsError with all problems."""
    return read(GatewaySettings, environ, elsewhere=described(WorkerSettings))
