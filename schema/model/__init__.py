"""Contexts put together into one checked graph: plain data, from which the schema is built and queries are planned."""

from schema.model.build import ReadModel, build_graph
from schema.model.graph import (
    CommandModel,
    FieldModel,
    Graph,
    InputField,
    InputModel,
    KeptBy,
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
    "KeptBy",
    "Kind",
    "ObjectModel",
    "ReadModel",
    "RootModel",
    "build_graph",
]
