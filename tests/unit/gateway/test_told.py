"""What a client is told of an error."""

from graphql import FieldNode, GraphQLError, OperationDefinitionNode, parse

from gateway.engine.told import MAX_LOCATIONS, field_error, graphql_error
from projections.errors import StoreUnavailableError


def test_few_places_are_told_of_an_error_however_often_its_field_is_selected() -> None:
    [operation] = parse("{\n" + "a\n" * 900 + "}").definitions
    assert isinstance(operation, OperationDefinitionNode)
    nodes = [node for node in operation.selection_set.selections if isinstance(node, FieldNode)]
    wanted = [{"line": 2 + number, "column": 1} for number in range(MAX_LOCATIONS)]
    error = GraphQLError("no", nodes)
    assert len(error.locations or ()) == 900
    assert graphql_error(error, "no", "CODE")["locations"] == wanted
    assert field_error(["a"], nodes, StoreUnavailableError("away"))["locations"] == wanted, (
        "as the plain executor tells it"
    )
    assert graphql_error(GraphQLError("no", nodes[:2]), "no", "CODE")["locations"] == wanted[:2]
