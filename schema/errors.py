"""The errors of the schema floor, in one tree sorted by who must act.

SchemaError
├── CompositionError     author: declarations that do not fit each other (what, where, how to mend)
└── BadInputError        client: a value that the graph cannot take; `extensions.code` BAD_USER_INPUT
    ├── BadIdError           an id that is malformed, or of another type
    ├── BadCursorError       a cursor that this connection did not make
    └── BadPageError         page arguments that do not go together, or out of range
"""

from __future__ import annotations


class SchemaError(Exception):
    """Root of everything this floor raises on purpose."""


class CompositionError(SchemaError):
    """Declarations that do not fit each other.

    Args:
        what: the fault, one sentence.
        where: both places, outermost first.
        mend: what to change, in the author's words.
    """

    def __init__(self, what: str, *, where: str, mend: str) -> None:
        super().__init__(f"{what}\n  where: {where}\n  mend:  {mend}")
        self.what = what
        self.where = where
        self.mend = mend


class BadInputError(SchemaError):
    """A client's value that the graph cannot take. The message is shown to the client and echoes no long input."""


class BadIdError(BadInputError):
    """An id that is malformed or names something of another type."""


class BadCursorError(BadInputError):
    """A cursor that this connection did not make."""


class BadPageError(BadInputError):
    """Page arguments that do not go together, or are out of range."""
