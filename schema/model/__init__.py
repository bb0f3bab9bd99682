"""Contexts put together into one checked graph: plain data, from which the schema is built and queries are planned."""

from schema.model.build import build_graph
from schema.model.graph import (
    CommandModel,
    FieldModel,
    Graph,
    InputField,
    InputModel,
    Kind,
    ObjectModel,
    RootModel,
)

__all__ = [
    "CommandModel",
    "FieldModel",
    "Graph",
    "InputField",
    "InputModel",
    "Kind",
    "ObjectModel",
    "RootModel",
    "build_graph",
]
