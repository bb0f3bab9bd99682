"""Builds the public schema from the checked graph, afresh each time.

Invariants: no author class is changed, so composing twice in one process leaks nothing; the printed SDL does not depend on the
order of the contexts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import strawberry
from graphql import (
    GraphQLSchema,
    GraphQLSyntaxError,
    lexicographic_sort_schema,
    parse,
    print_schema,
    validate,
)
from strawberry.schema.config import StrawberryConfig

from gateway.compose.mutations import mutation_fields
from gateway.compose.queries import query_fields
from gateway.compose.types import TypeBuilder
from gateway.engine.stored import attribute
from schema.declare import BoundedContext, Example
from schema.model import Graph, ReadModel, build_graph
from schema.scalars import SCALARS


@dataclass(frozen=True)
class Composed:
    """The graph as data, and as an executable schema."""

    graph: Graph
    schema: GraphQLSchema

    def examples(self) -> list[Example]:
        """The examples that fit. One may reach into a context that is not composed here; it is then left out."""
        return [example for example in self.graph.examples if self._fits(example)]

    def _fits(self, example: Example) -> bool:
        try:
            return not validate(self.schema, parse(example.query))
        except GraphQLSyntaxError:
            return False

    def sdl(self) -> str:
        """The schema in the definition language, sorted by name."""
        return print_schema(lexicographic_sort_schema(self.schema)) + "\n"


def compose(contexts: Sequence[BoundedContext], served: Sequence[ReadModel]) -> Composed:
    """Raises schema.errors.CompositionError for whatever does not fit."""
    graph = build_graph(contexts, served)
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
