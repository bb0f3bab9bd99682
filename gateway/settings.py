"""The gateway's settings, from environment variables (projections/settings.py reads them).

Invariants: read once, at the entry point; all problems at once; names of the projector's settings are known and ignored.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from projections.settings import FLAG, REDIS_URL, Kind, WorkerSettings, choice, described, integer, read, setting

MIN_KEY_BYTES: Final = 32


def _services(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in text.split(","):
        name, equals, url = item.strip().partition("=")
        parts = urlsplit(url)
        if not equals or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError(f"{item.strip()[:60]!r} does not read context=url")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"the address of {name} is not an http(s) base URL")
        if name in found:
            raise ValueError(f"{name} is named twice")
        _ = parts.port  # raises ValueError when it is no number
        found[name] = url.rstrip("/")
    return found


def _token_keys(text: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for item in text.split(","):
        name, colon, secret = item.strip().partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9_-]{1,16}", name):
            raise ValueError("an item does not read id:secret, with an id of 1 to 16 letters")
        try:
            key = base64.b64decode(secret + "=" * (-len(secret) % 4), altchars=b"-_", validate=True)
        except binascii.Error:
            raise ValueError(f"the secret of {name} is not base64url") from None
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"the secret of {name} has {len(key)} bytes, it needs {MIN_KEY_BYTES}")
        if name in found:
            raise ValueError(f"{name} is named twice")
        found[name] = key
    return found


def _word(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text):
        raise ValueError("it is not 1 to 64 letters, digits, '.', '_' or '-'")
    return text


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_-]{1,255}", text):
        raise ValueError(f"{text[:40]!r}")
    return text


SERVICES: Final = Kind("a list context=url,context=url", "orders=http://orders:8080", _services)
TOKEN_KEYS: Final = Kind("a list id:secret,id:secret (base64url, 32 bytes or more)", "k1:<base64url>", _token_keys)
WORD: Final = Kind("a short name", "production", _word)
HOST: Final = Kind("an address to listen on", "0.0.0.0", _host)  # noqa: S104 - an example


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """What the gateway needs to know."""

    redis_url: str = setting("where the read models are kept", REDIS_URL, secret=True)
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
    exit_on_stdin_eof: bool = setting("stop when standard input ends, for a supervisor", FLAG, default=False)
    log_level: str = setting(
        "least severe messages to show", choice("DEBUG", "INFO", "WARNING", "ERROR"), default="INFO"
    )


def gateway_settings(environ: Mapping[str, str]) -> GatewaySettings:
    """Raises SettingsError with all problems."""
    return read(GatewaySettings, environ, elsewhere=described(WorkerSettings))
