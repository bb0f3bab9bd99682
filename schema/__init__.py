"""Floor 2: the graph, per bounded context. Here are the names an author of a graph needs, and no others."""

from schema.activity import Activity
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
from schema.per_key import measure, timeline

__all__ = [
    "Activity",
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
    "measure",
    "one",
    "part",
    "timeline",
]
