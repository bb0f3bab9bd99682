"""The consistency token: requirements, signed, opaque and URL-safe.

Invariants: nothing is believed before its signature is checked; every accepted token has exactly one spelling, so no flipped bit
passes; a token is bound to its audience; keys rotate by id.

    <key id>.<base64url(msgpack [audience, cut, [[context, type, id, epoch, version, minted_s], ...]])>.<base64url(MAC)>
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from gateway.consistency.requirements import DIGEST_BYTES, MAX_REQUIREMENTS, Aggregate, Required, Requirements
from gateway.errors import BadTokenError
from projections.record import MAX_VERSION

MAC_BYTES: Final = 16
"""HMAC-SHA-256 cut to 128 bits (RFC 2104, section 5: not less than half)."""
MAX_TOKEN_CHARACTERS: Final = 2048
"""Read limit: above what is ever minted."""
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,16}\Z")

Number = Annotated[int, msgspec.Meta(ge=0, le=MAX_VERSION)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**40)]


class _Payload(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    audience: str
    cut: Annotated[bytes, msgspec.Meta(max_length=DIGEST_BYTES)]
    requirements: Annotated[
        list[tuple[Name, Name, Name, Number, Number, Seconds]], msgspec.Meta(max_length=MAX_REQUIREMENTS)
    ]


@dataclass(frozen=True)
class TokenCodec:
    """Mints and reads tokens.

    Args:
        keys: secret of at least 32 bytes by key id; the first one signs, all are accepted.
        audience: which deployment (and tenant) the tokens are for.
    """

    keys: Mapping[str, bytes]
    audience: str

    def __post_init__(self) -> None:
        if not self.keys or not all(_KEY_ID.match(name) and len(key) >= 32 for name, key in self.keys.items()):
            raise ValueError("token keys need an id of 1 to 16 letters and a secret of at least 32 bytes")

    def mint(self, requirements: Requirements) -> str:
        """The token that asks for these."""
        items = [
            (name.context, name.type, name.id, required.epoch, required.version, required.minted_s)
            for name, required in sorted(requirements.of.items())
        ]
        body = _encoder.encode(_Payload(self.audience, requirements.cut or b"", items))
        key_id = next(iter(self.keys))
        return f"{key_id}.{_text(body)}.{_text(self._mac(key_id, body))}"

    def read(self, token: str) -> Requirements:
        """What a token asks for. Raises BadTokenError for anything that `mint` did not make for this audience."""
        parts = token.split(".") if len(token) <= MAX_TOKEN_CHARACTERS else ()
        if len(parts) != 3 or parts[0] not in self.keys:
            raise BadTokenError("not a consistency token of this gateway")
        key_id, body, mac = parts[0], _bytes(parts[1]), _bytes(parts[2])
        if not hmac.compare_digest(mac, self._mac(key_id, body)):
            raise BadTokenError("not a consistency token of this gateway")
        try:
            payload = _decoder.decode(body)
        except msgspec.DecodeError:
            raise BadTokenError("a consistency token of another version") from None
        if payload.audience != self.audience:
            raise BadTokenError("a consistency token for another audience")
        return Requirements(
            {
                Aggregate(c, t, i): Required(epoch, version, minted)
                for c, t, i, epoch, version, minted in payload.requirements
            },
            payload.cut or None,
        )

    def _mac(self, key_id: str, body: bytes) -> bytes:
        signed = b"headrace-token-1\0" + key_id.encode() + b"\0" + body
        return hmac.digest(self.keys[key_id], signed, hashlib.sha256)[:MAC_BYTES]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Payload)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    """The bytes of a canonical base64url text. Raises BadTokenError for any other spelling."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadTokenError("not a consistency token of this gateway") from None
    if _text(data) != text:
        raise BadTokenError("not a consistency token of this gateway")
    return data
