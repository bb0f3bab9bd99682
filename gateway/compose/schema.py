"""Builds the public schema from the checked graph, afresh each time.

Invariants: no author class is changed, so composing twice in one process leaks nothing; the printed SDL does not depend on the
order of the contexts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import strawberry
from graphql import GraphQLSchema, lexicographic_sort_schema, print_schema
from strawberry.schema.config import StrawberryConfig

from gateway.compose.mutations import mutation_fields
from gateway.compose.queries import query_fields
from gateway.compose.types import TypeBuilder
from gateway.engine.rows import attribute
from projections.declare import Projection
from schema.declare import BoundedContext
from schema.model import Graph, build_graph
from schema.scalars import SCALARS


@dataclass(frozen=True)
class Composed:
    """The graph as data, and as an executable schema."""

    graph: Graph
    schema: GraphQLSchema

    def sdl(self) -> str:
        """The schema in the definition language, sorted by name."""
        return print_schema(lexicographic_sort_schema(self.schema)) + "\n"


def compose(contexts: Sequence[BoundedContext], projections: Sequence[Projection[Any, Any]]) -> Composed:
    """Raises schema.errors.CompositionError for whatever does not fit."""
    graph = build_graph(contexts, projections)
    types = TypeBuilder(graph)
    query = strawberry.type(type("Query", (), query_fields(graph, types)))
    mutations = mutation_fields(graph, types)
    mutation = strawberry.type(type("Mutation", (), mutations)) if graph.commands else None
    built = strawberry.Schema(
        query=query,
        mutation=mutation,
        types=[types.shell(name) for name in graph.entities],
        config=StrawberryConfig(default_resolver=attribute, scalar_map=SCALARS),
    )
    return Composed(graph, built._schema)
