"""Documents by their text: parsed, limited, validated and priced once, then kept while there is room.

Invariants: what is refused is refused before anything larger is done with it: characters, tokens, counts, validity, cost; what
is kept is bounded in number and in bytes, and what was used least lately goes first.
"""

from __future__ import annotations

import hashlib
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    parse,
    validate,
)
from graphql.validation import OverlappingFieldsCanBeMergedRule, ValuesOfCorrectTypeRule, specified_rules

from gateway.engine.cost import CostReader, Prices, StaticCost
from gateway.engine.introspection import IntrospectionCost, is_alone
from gateway.engine.limits import Limits, Measured, check
from gateway.engine.literals import LiteralsRule, syntax_problem
from gateway.engine.merging import MergeCheck
from gateway.engine.recognize import Recognizer
from gateway.engine.tokens import drop_tokens
from gateway.engine.told import graphql_error
from gateway.engine.variables import VariableReader
from gateway.errors import MalformedRequestError, ParseError, RequestError, TooComplexError, ValidationError
from schema.model import Graph

MAX_KEPT: Final = 1_000
MAX_KEPT_BYTES: Final = 32 * 1024 * 1024
"""Some 500 documents like a page's, with their plans. The collector looks at all of them, now and then."""
TOKEN_BYTES: Final = 450
"""What a token becomes takes 270 to 430 bytes, whatever its length: that is some fifteen times the text of a page's query, and 200
times the text of `{a a a a}`."""
MAX_REFUSED: Final = 200
"""Texts that were refused lately, by digest: a client with a bug in its query sends it again and again."""
MERGE_STEPS: Final = 10
"""For each field that a document may select. A plain document takes two; a field that meets fields of other types takes more."""
_RULES: Final = [
    LiteralsRule if rule is ValuesOfCorrectTypeRule else rule
    for rule in specified_rules
    if rule is not OverlappingFieldsCanBeMergedRule
]
"""Those of the specification: one with words of our own (literals.py), one that is checked apart (merging.py)."""
_MAX_ERRORS: Final = 5
"""More help nobody, and each may take time in proportion to the document."""


def _nobody_minds(_: int) -> None:
    pass


@dataclass(eq=False, slots=True)
class Operation:
    """One operation of a document. `plans` is the place of whoever compiles it."""

    document: Document
    node: OperationDefinitionNode
    variables: VariableReader
    cost: StaticCost
    is_introspection: bool
    max_cost: int
    plans: Any = None

    @property
    def name(self) -> str | None:
        """None for the anonymous one."""
        return self.node.name.value if self.node.name else None

    @property
    def type(self) -> OperationType:
        """Query or mutation."""
        return self.node.operation

    def read(self, given: Mapping[str, Any] | None) -> dict[str, Any]:
        """The variables, coerced. Raises VariablesError, and TooComplexError when the operation costs too much with them."""
        if self.cost.by_variables:
            self._check_cost(given or {})  # before a hundred thousand ids are looked at one by one
        variables = self.variables.read(given)
        if self.cost.by_variables:
            self._check_cost(variables)
        return variables

    def _check_cost(self, variables: Mapping[str, Any]) -> None:
        if self.cost.of(variables) > self.max_cost:
            raise _too_dear(self.max_cost)


@dataclass(eq=False, slots=True)
class Document:
    """A valid document within the limits."""

    node: DocumentNode
    fragments: Mapping[str, FragmentDefinitionNode]
    operations: dict[str | None, Operation] = field(default_factory=dict[str | None, Operation])
    grew: Callable[[int], None] = _nobody_minds
    """Told how many bytes whoever compiles an operation has put beside it."""

    def drop(self) -> None:
        """Lets go of its operations, which refer to it, so that it goes with the last of them that is under way."""
        self.operations.clear()

    def operation(self, name: str | None) -> Operation:
        """The one of that name, or the only one when no name is given. Raises MalformedRequestError."""
        if name is None and len(self.operations) == 1:
            [found] = self.operations.values()
            return found
        named = None if name is None else self.operations.get(name)
        if named is None:
            raise MalformedRequestError(
                "name one of the document's operations in operationName"
                if self.operations
                else "the document has no operation"
            )
        return named


class Documents:
    """The documents of one schema. One per process; nothing in it waits.

    At most `max_kept` are kept, of `max_kept_bytes` by estimate, and of `max_refused` texts why they were refused.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        graph: Graph,
        limits: Limits,
        *,
        max_kept: int = MAX_KEPT,
        max_kept_bytes: int = MAX_KEPT_BYTES,
        max_refused: int = MAX_REFUSED,
    ) -> None:
        self._schema = schema
        self._limits = limits
        self._max_kept = max_kept
        self._max_kept_bytes = max_kept_bytes
        self._max_refused = max_refused
        self._recognizer = Recognizer(schema)
        self._prices = Prices(schema, graph)
        self._introspection = IntrospectionCost(schema)
        self._kept: OrderedDict[str, tuple[Document, int]] = OrderedDict()
        self._refused: OrderedDict[bytes, RequestError] = OrderedDict()
        self._pinned: dict[str, Document] = {}
        self.kept_bytes = 0

    def pin(self, text: str) -> Document:
        """The document of a text, kept for good. Raises as `get` does."""
        document = self._pinned.get(text)
        if document is None:
            document = self.get(text)
            if text in self._kept:  # it may be too large to be kept among others
                self.kept_bytes -= self._kept.pop(text)[1]
            self._pinned[text] = document
        return document

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, text: str) -> Document:
        """The document of a text. Raises ParseError, ValidationError, TooComplexError."""
        pinned = self._pinned.get(text)
        if pinned is not None:
            return pinned
        found = self._kept.get(text)
        if found is not None:
            self._kept.move_to_end(text)
            return found[0]
        if len(text) > self._limits.characters:
            raise ParseError(f"the document has more than {self._limits.characters} characters")
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        refused = self._refused.get(digest)
        if refused is not None:
            raise type(refused)(str(refused), refused.errors)
        try:
            document = self._read(text)
        except RequestError as error:
            self._refuse(digest, error)
            raise
        self._keep(text, document)
        return document

    def _read(self, text: str) -> Document:
        try:
            node = parse(text, max_tokens=self._limits.tokens)
        except GraphQLSyntaxError as error:
            problem = syntax_problem(error)
            raise ParseError(problem, [graphql_error(error, problem, "GRAPHQL_PARSE_FAILED")]) from None
        check(Measured(node), self._limits)
        recognized = self._recognizer.recognize(node)
        if recognized is None:
            _refuse_if(validate(self._schema, node, _RULES, max_errors=_MAX_ERRORS, hide_suggestions=True))
        document = Document(
            node, {found.name.value: found for found in node.definitions if isinstance(found, FragmentDefinitionNode)}
        )
        operations = [found for found in node.definitions if isinstance(found, OperationDefinitionNode)]
        if recognized is None or recognized.merges:
            merge = MergeCheck(self._schema, document.fragments, MERGE_STEPS * self._limits.fields)
            _refuse_if([conflict for found in operations if (conflict := merge.conflict(found))])
        costs = CostReader(self._schema, self._prices, document.fragments)
        for found in operations:
            name = found.name.value if found.name else None
            document.operations[name] = self._operation(document, found, costs)
        return document

    def _operation(self, document: Document, node: OperationDefinitionNode, costs: CostReader) -> Operation:
        introspection = self._introspection.of(node.selection_set, document.fragments)
        if introspection > self._introspection.limit:
            raise TooComplexError("the operation asks for too much of the schema at once")
        cost = costs.read(node)
        if cost.fixed > self._limits.cost:
            raise _too_dear(self._limits.cost)
        return Operation(
            document,
            node,
            VariableReader(self._schema, node.variable_definitions or ()),
            cost,
            is_introspection=introspection > 0 and is_alone(node.selection_set, document.fragments),
            max_cost=self._limits.cost,
        )

    def _keep(self, text: str, document: Document) -> None:
        drop_tokens(document.node)
        weight = (document.node.token_count or 0) * TOKEN_BYTES + 2 * sys.getsizeof(text)
        self._kept[text] = document, weight
        document.grew = partial(self._grew, text)
        self.kept_bytes += weight
        self._shrink()

    def _shrink(self) -> None:
        while self._kept and (len(self._kept) > self._max_kept or self.kept_bytes > self._max_kept_bytes):
            _, (document, freed) = self._kept.popitem(last=False)
            if self._kept:  # not the newest, which somebody is about to use
                document.drop()
            self.kept_bytes -= freed

    def _grew(self, text: str, by_bytes: int) -> None:
        """Takes in what is kept with a document, as long as that is kept."""
        kept = self._kept.get(text)
        if kept is not None:
            self._kept[text] = kept[0], kept[1] + by_bytes
            self.kept_bytes += by_bytes
            self._shrink()

    def _refuse(self, digest: bytes, error: RequestError) -> None:
        self._refused[digest] = type(error)(str(error), error.errors)
        if len(self._refused) > self._max_refused:
            self._refused.popitem(last=False)


def _refuse_if(errors: list[GraphQLError]) -> None:
    if errors:
        raise ValidationError(
            errors[0].message, [graphql_error(error, error.message, "GRAPHQL_VALIDATION_FAILED") for error in errors]
        )


def _too_dear(limit: int) -> TooComplexError:
    return TooComplexError(f"the operation costs more than {limit}: ask for fewer rows, or for less of each")
