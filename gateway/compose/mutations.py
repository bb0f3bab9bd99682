"""Mutations: each command's input, its result union, and the resolver that forwards it.

Invariants: a refusal is a member of the union, never an error; what changed is read with the command's own token, in the same
request, and only when it is selected.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Union

import strawberry

from gateway.commands.forward import Call, Conflict, Done, Refused, Unknown, path_of
from gateway.commands.versions import ChangedAggregate
from gateway.compose.inputs import InputBuilder
from gateway.compose.signature import Argument, resolver
from gateway.compose.types import TypeBuilder
from gateway.consistency.requirements import Aggregate, Required, Requirements, require
from gateway.engine.context import RequestContext
from projections.declare import Projection
from projections.wire import encode_plain
from schema.errors import BadInputError
from schema.ids import global_id
from schema.model import CommandModel, Graph
from schema.receipt import AggregateVersion, CommandRefused, FieldProblem, OutcomeUnknown, Receipt, VersionConflict

_HIDDEN_KEY: Final[Any] = strawberry.Private[str | None]  # type: ignore[misc] # an annotation as a value
_COMMAND_ID: Final = re.compile(r"[\x21-\x7e]{1,128}\Z")


def mutation_fields(graph: Graph, types: TypeBuilder) -> dict[str, Any]:
    """The namespace of the Mutation class."""
    inputs = InputBuilder(graph, types.enum)
    return {name: _mutation(graph, types, inputs, command) for name, command in graph.commands.items()}


def _mutation(graph: Graph, types: TypeBuilder, inputs: InputBuilder, command: CommandModel) -> Any:
    accepted: Any = _accepted(graph, types, command)
    members = Union[accepted, CommandRefused, VersionConflict, OutcomeUnknown]  # noqa: UP007 - built at run time
    union = Annotated[members, strawberry.union(f"{command.title}Result")]
    arguments = {"input": Argument(inputs.shell(command.input), required=True)}
    return strawberry.field(
        resolver=resolver(_resolve(graph, inputs, command, accepted), union, arguments),
        description=command.metadata.description,
    )


def _accepted(graph: Graph, types: TypeBuilder, command: CommandModel) -> type[Any]:
    """<Command>Accepted: the receipt, and the entity that the command changed."""
    model = graph.objects[command.reads]
    projection: Projection[Any, Any] = model.projection  # type: ignore[assignment] # entities have one

    def entity(root: Any, info: Any) -> Any:
        return None if root.changed is None else info.context.rows.one(projection, root.changed)

    name = command.reads[0].lower() + command.reads[1:]
    returns = types.shell(command.reads) | None
    accepted = type(
        f"{command.title}Accepted",
        (),
        {
            "__annotations__": {"receipt": Receipt, "changed": _HIDDEN_KEY},
            name: strawberry.field(
                resolver=resolver(entity, returns), description="Read with the receipt's own token, in this request."
            ),
        },
    )
    return strawberry.type(accepted, description="The command was carried out.")


def _resolve(graph: Graph, inputs: InputBuilder, command: CommandModel, accepted: type[Any]) -> Callable[..., Any]:
    model = graph.inputs[command.input]
    reads: Projection[Any, Any] = graph.objects[command.reads].projection  # type: ignore[assignment]
    names = {
        (entity.owner, entity.projection.aggregate): entity.name
        for entity in graph.objects.values()
        if entity.projection is not None
    }

    async def resolve(root: Any, info: Any, input: Any) -> Any:
        context: RequestContext = info.context
        body = inputs.body(model, input)
        command_id = _command_id(input.command_id)
        expected = _expected(input) if command.changes_existing else None
        path_values = {name: _path_text(body[model.fields[name].graphql_name]) for name in command.path_fields}
        call = Call(
            service=command.service,
            path=path_of(command.path, path_values),
            body=encode_plain(body),
            command_id=command_id,
            expected_version=expected,
            correlation_id=context.correlation_id,
            traceparent=context.traceparent,
        )
        reply = await context.commands.send(call)
        id = strawberry.ID(command_id)
        match reply:
            case Done(versions):
                minted = _minted(command.service, versions)
                context.operation.wrote(minted)
                changed = next((v.id for v in versions if v.type == reads.aggregate), None)
                receipt = Receipt(
                    command_id=id,
                    token=context.tokens.mint(minted),
                    versions=[_version(names, command.service, version) for version in versions],
                )
                return accepted(receipt=receipt, changed=changed)
            case Refused(code, title, detail, fields):
                problems = [FieldProblem(path=path, message=message) for path, message in fields]
                return CommandRefused(command_id=id, code=code, title=title, detail=detail, fields=problems)
            case Conflict(current):
                return await _conflict(context, id, expected, current, command, reads)
            case Unknown(reason, versions):
                if versions:
                    context.operation.wrote(_minted(command.service, versions))
                return OutcomeUnknown(command_id=id, reason=reason)

    return resolve


async def _conflict(
    context: RequestContext,
    id: strawberry.ID,
    expected: int | None,
    current: ChangedAggregate | None,
    command: CommandModel,
    reads: Projection[Any, Any],
) -> VersionConflict | OutcomeUnknown:
    """The owner's current version, and the entity read at least at that version."""
    if current is None:
        return OutcomeUnknown(command_id=id, reason="refused for its version, without saying which one is current")
    context.operation.wrote(_minted(command.service, [current]))
    row = await context.rows.one(reads, current.id) if current.type == reads.aggregate else None
    return VersionConflict(
        command_id=id,
        expected_version=expected or 0,
        current_version=current.version,
        current=row,  # type: ignore[arg-type] # the schema shows rows as Node
    )


def _minted(service: str, versions: Sequence[ChangedAggregate]) -> Requirements:
    now_s = int(time.time())
    return require(
        (Aggregate(service, changed.type, changed.id), Required(changed.epoch, changed.version, now_s))
        for changed in versions
    )


def _version(names: dict[tuple[str, str], str], service: str, changed: ChangedAggregate) -> AggregateVersion:
    name = names.get((service, changed.type))
    shown = global_id(name, changed.id) if name else f"{changed.type}/{changed.id}"
    return AggregateVersion(id=strawberry.ID(shown), version=changed.version)


def _command_id(given: Any) -> str:
    if given is strawberry.UNSET or given is None:
        return str(uuid.uuid4())
    if not _COMMAND_ID.match(given):
        raise BadInputError("commandId is 1 to 128 visible ASCII characters")
    return str(given)


def _expected(input: Any) -> int | None:
    expected = input.expected_version
    if expected is strawberry.UNSET or expected is None:
        return None
    if expected < 1:
        raise BadInputError("expectedVersion counts from 1")
    return int(expected)


def _path_text(value: Any) -> str:
    """A value as a segment of a path, in its wire form."""
    return format(value, "f") if isinstance(value, Decimal) else str(value)
