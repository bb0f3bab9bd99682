"""The body of a command: JSON bytes -> a checked input, or an `InputError` that points at every wrong field.

- JSON numbers become Decimals, never floats; what JSON does not know (NaN, lone surrogates, duplicates of UTF-8) is
  refused by the decoder.
- A field that the command does not have is refused: a typing error must not turn into a command with less intent.
- The fingerprint is of the meaning, not of the bytes: key order and spaces do not matter.
"""

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from examples.shop.service.declare import Input
from examples.shop.service.errors import FieldProblem, InputError
from examples.shop.service.fields import from_json

_json = msgspec.json.Decoder(Any, float_hook=Decimal)
_PATH_MARK = " - at `$"
_ECHO_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Decoded:
    """A command's input, and what to tell it from another one by."""

    input: Input
    fingerprint: bytes


def decode(body: bytes, kind: type[Input], path: str) -> Decoded:
    """Decodes the body of a command sent to `path`; an empty body is `{}`. Raises `InputError` (400 or 422)."""
    fields = _object(body)
    values, problems = _convert(fields, kind)
    if problems:
        raise invalid(problems)
    meaning = path.encode() + b"\n" + msgspec.json.encode(fields, order="sorted")
    return Decoded(kind(**values), hashlib.sha256(meaning).digest())


def invalid(problems: list[FieldProblem]) -> InputError:
    """The 422 that lists what is wrong with each field."""
    return InputError(422, "INVALID_INPUT", "The command does not say what is needed", fields=problems)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = _json.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(400, "INVALID_JSON", "The body is not JSON", str(error)) from None
    except RecursionError:
        raise InputError(400, "INVALID_JSON", "The body is not JSON", "It is nested too deeply.") from None
    if not isinstance(found, dict):
        raise invalid([FieldProblem("#", "Expected `object`")])
    return found


def _convert(fields: dict[str, Any], kind: type[Input]) -> tuple[dict[str, Any], list[FieldProblem]]:
    """Converts field by field, so that one answer names all the wrong ones."""
    values: dict[str, Any] = {}
    problems: list[FieldProblem] = []
    declared = msgspec.structs.fields(kind)
    for field in declared:
        name = field.encode_name
        if name not in fields:
            if field.required:
                problems.append(FieldProblem(f"#/{name}", "is missing"))
            continue
        try:
            values[field.name] = msgspec.convert(fields[name], field.type, dec_hook=from_json)
        except msgspec.ValidationError as error:
            problems.append(_problem(name, field.type, str(error)))
    unknown = fields.keys() - {field.encode_name for field in declared}
    problems.extend(FieldProblem(_pointer(name), "is not a field of this command") for name in sorted(unknown))
    return values, problems


def _problem(name: str, kind: Any, message: str) -> FieldProblem:
    """msgspec says "Expected `str` - at `$.lines[0].product`"; a client wants `#/lines/0/product`."""
    detail, _, path = message.partition(_PATH_MARK)
    steps = path.rstrip("`").replace("[", "/").replace("]", "").replace(".", "/")
    if "matching regex" in detail:
        detail = f"Expected {_described(kind)}"
    return FieldProblem(f"#/{name}{steps}", detail)


def _described(kind: Any) -> str:
    """What a patterned field is meant to be, in words (the `description` beside its pattern)."""
    for meta in getattr(kind, "__metadata__", ()):
        if meta.description:
            return str(meta.description)
    for part in getattr(kind, "__args__", ()):
        if (found := _described(part)) != "text of another form":
            return found
    return "text of another form"


def _pointer(name: str) -> str:
    return "#/" + name[:_ECHO_LENGTH].replace("~", "~0").replace("/", "~1")
