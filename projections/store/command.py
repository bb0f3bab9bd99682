"""A command as it is sent, and where to."""

from __future__ import annotations

from typing import Any, NamedTuple


class Command(NamedTuple):
    """A command, and the key that says which server of a cluster it goes to."""

    key: str
    words: tuple[Any, ...]
