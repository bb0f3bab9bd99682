"""The answers that every command shares, and the interface that all entities have.

Invariants: plain values; which of them a command may give is the union that composition builds around them.
"""

from __future__ import annotations

import strawberry


@strawberry.interface(description="Something with an id that is unique across the graph.")
class Node:
    id: strawberry.ID = strawberry.field(description='The global id, readable: "<Type>:<key>".')


@strawberry.type(description="A version that an aggregate has reached.")
class AggregateVersion:
    id: strawberry.ID = strawberry.field(
        description="The global id, or aggregate/id for one that the graph does not show."
    )
    version: int


@strawberry.type(description="Proof of an accepted command.")
class Receipt:
    command_id: strawberry.ID = strawberry.field(description="The idempotency key that the command ran under.")
    token: str = strawberry.field(
        description="Hand it to a read (header Headrace-After, or extensions.consistency.after) to see this write."
    )
    versions: list[AggregateVersion] = strawberry.field(description="Every aggregate that the command changed.")


@strawberry.type(description="One field of the input that was refused.")
class FieldProblem:
    path: str = strawberry.field(description="Where in the input: lines.0.quantity.")
    message: str


@strawberry.type(description="The owner refused the command; nothing was changed.")
class CommandRefused:
    command_id: strawberry.ID
    code: str = strawberry.field(description="Stable, for programs.")
    title: str
    detail: str | None
    fields: list[FieldProblem]


@strawberry.type(description="The aggregate is at another version than expectedVersion; nothing was changed.")
class VersionConflict:
    command_id: strawberry.ID
    expected_version: int
    current_version: int
    current: Node | None


@strawberry.type(description="Nobody knows yet whether the command was carried out: ask again with the same commandId.")
class OutcomeUnknown:
    command_id: strawberry.ID
    reason: str
