"""Views that do not fit their declarations.

Invariants: follows from the random numbers that are given; the view that is given is left as it is.
"""

from __future__ import annotations

import copy
import random
from typing import Any, Final

BROKEN: Final = (
    b"{", b"[]", b"null", b"7", b'"text"', b'{"name": "x",}', b'{"a": tru}', b'{"a": 01}', b'{"a": "\\q"}', b'{"a": "\n"}',
    b"{} {}", b'{"a": "\\ud800"}', b'{"customerId": "c-1"', b"\xff", b"\0", b"[{}]", b'{"a": 1.2.3}',
)  # fmt: skip
"""What is no JSON object, from the beginning or only at its end."""


class BadText:
    """Stands for a text that is no UTF-8."""

    def __repr__(self) -> str:
        return "BadText()"


BAD_TEXT: Final = BadText()
_VALUES: Final[tuple[Any, ...]] = (
    None, 7, -1, 2**31, -(2**31), 2**70, 1.0, 0.5, True, False, "", "text", "PLACED", "WEIRD", "12.30", "1e400", "c-1", [], ["x"],
    [None], [1, 2], [2**31], [1.5], {}, {"number": 1}, [{}], [None, {}], BAD_TEXT,
)  # fmt: skip


def unfit(rng: random.Random, view: dict[str, Any]) -> dict[str, Any]:
    """A copy with some fields that are gone, or of another kind, here or in what is nested."""
    found = copy.deepcopy(view)
    if rng.random() < 0.3:
        found["unheardOf"] = _other(rng, None)
    for _ in range(rng.randint(1, 5)):
        _spoil(rng, found)
    return found


def _spoil(rng: random.Random, view: dict[str, Any]) -> None:
    if not view:
        return
    name = rng.choice(list(view))
    old = view[name]
    if isinstance(old, list) and old and rng.random() < 0.7:
        place = rng.randrange(len(old))
        if isinstance(old[place], dict) and rng.random() < 0.8:
            _spoil(rng, old[place])
        else:
            old[place] = _other(rng, old[place])
    elif rng.random() < 0.3:
        del view[name]
    else:
        view[name] = _other(rng, view[name])


def _other(rng: random.Random, old: Any) -> Any:
    """Another value: any, or one that nearly fits."""
    near = [value for kind, values in _NEAR for value in values if type(old) is kind]
    return copy.deepcopy(rng.choice(near if near and rng.random() < 0.5 else _VALUES))


_NEAR: Final[tuple[tuple[type[Any], tuple[Any, ...]], ...]] = (
    (int, (2**31, -(2**31) - 1, 2**31 - 1, 1.0, True, "1", None)),
    (str, (7, None, BAD_TEXT, ["x"], "")),
    (bool, (0, 1, "true", None)),
    (float, (1, "1.5", 10**400, None)),
    (list, ([None], [7], {}, "x", None)),
    (dict, ([], {}, None, "x")),
)
"""By the type of what fits."""
