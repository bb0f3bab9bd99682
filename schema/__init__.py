"""Floor 2: the graph, per bounded context. Here are the names an author of a graph needs, and no others."""

from schema.declare import (
    BoundedContext,
    Connection,
    Example,
    Info,
    Input,
    Ref,
    command,
    computed,
    entity,
    extension,
    field,
    find,
    get,
    many,
    one,
    part,
)
from schema.marks import RowRule

__all__ = [
    "BoundedContext",
    "Connection",
    "Example",
    "Info",
    "Input",
    "Ref",
    "RowRule",
    "command",
    "computed",
    "entity",
    "extension",
    "field",
    "find",
    "get",
    "many",
    "one",
    "part",
]
