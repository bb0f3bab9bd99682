"""Requests that are made to be dear: documents of many shapes, each as large as one likes, and variables.

Invariants: pure; `n` is how often the shape's unit is repeated, so its length grows with `n` alone; names are those of the shop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from graphql import GraphQLSyntaxError, parse

Document = Callable[[int], str]

_TYPES: Final = ("Order", "Customer", "Product", "Payment", "Shipment")


def below(selected: str, behind: str = "") -> str:
    """A selection of an order in a list: not at the root, where few fields may be."""
    return f"{{orders{{nodes{{{selected}}}}}}}{behind}"


def each(n: int, text: Callable[[int], str]) -> str:
    """`n` units with their numbers."""
    return " ".join(text(i) for i in range(n))


def fragments(n: int, kind: str, body: Callable[[int], str]) -> str:
    """`n` fragments f0, f1, ..."""
    return each(n, lambda i: f"fragment f{i} on {kind}{{{body(i)}}}")


def bomb(levels: int) -> str:
    """2 to the power of `levels` fields."""
    doubled = fragments(levels, "Query", lambda i: f"...f{i + 1} ...f{i + 1}")
    return f"{{...f0}}{doubled} fragment f{levels} on Query{{__typename}}"


def nested_bomb(levels: int) -> str:
    """The same, each level a level of the answer."""
    doubled = fragments(
        levels,
        "Order",
        lambda i: f"a:customer{{orders{{nodes{{...f{i + 1}}}}}}}b:customer{{orders{{nodes{{...f{i + 1}}}}}}}",
    )
    return below("...f0", f"{doubled} fragment f{levels} on Order{{id}}")


DOCUMENTS: Final[Mapping[str, Document]] = {
    "aliases": lambda n: below(each(n, lambda i: f"a{i}:id")),
    "reserved words": lambda n: below("__proto__:id " * n + "class:id __slots__:id __dict__:id constructor:id"),
    "one leaf": lambda n: below("id " * n),
    "one object": lambda n: below("customer{id} " * n),
    "one object, deep": lambda n: below("customer{orders{nodes{id}}} " * n),
    "root fields": lambda n: "{" + "__typename " * n + "}",
    "unknown fields": lambda n: below(each(n, lambda i: f"custmer{i}")),
    "long names": lambda n: below(each(n, lambda i: "x" * 30 + str(i))),
    "unknown arguments": lambda n: below(each(n, lambda i: f"customer(frist{i}:1){{id}}")),
    "unknown types": lambda n: below(each(n, lambda i: f"...on Ordr{i}{{id}}")),
    "impossible types": lambda n: below("...on Customer{id} " * n),
    "unknown fragments": lambda n: below(each(n, lambda i: f"...g{i}")),
    "unused fragments": lambda n: below("id", fragments(n, "Order", lambda i: "id")),
    "one fragment often": lambda n: below("...f " * n, "fragment f on Order{id}"),
    "fragments side by side": lambda n: below(each(n, lambda i: f"...f{i}"), fragments(n, "Order", lambda i: "id")),
    "fragments with objects": lambda n: below(
        each(n, lambda i: f"...f{i}"), fragments(n, "Order", lambda i: "customer{id}")
    ),
    "a chain of fragments": lambda n: below(
        "...f0", fragments(n, "Order", lambda i: f"id ...f{i + 1}") + f" fragment f{n} on Order{{id}}"
    ),
    "a ring of fragments": lambda n: below("...f0", fragments(n, "Order", lambda i: f"id ...f{(i + 1) % n}")),
    "all fragments in all": lambda n: below(
        "...f0", fragments(max(1, int(n**0.5)), "Order", lambda i: each(int(n**0.5), lambda j: f"...f{j}"))
    ),
    "directives": lambda n: below("id " + "@include(if:true)" * n),
    "unknown directives": lambda n: below("id " + "@a" * n),
    "2^20 variants": lambda n: (
        f"query({each(n, lambda i: f'$v{i}:Boolean!')}){below(each(n, lambda i: f'...@include(if:$v{i}){{id}}'))}"
    ),
    "variables": lambda n: f"query({each(n, lambda i: f'$v{i}:Int')}){{__typename}}",
    "unknown variables": lambda n: below(each(n, lambda i: f"payments @include(if:$v{i}){{id}}")),
    "operations": lambda n: each(n, lambda i: f"query q{i}{{__typename}}"),
    "operations over a chain": lambda n: (
        each(n, lambda i: f"query q{i}{{...f0}}") + " "
        + fragments(n, "Query", lambda i: f"...f{i + 1}") + f" fragment f{n} on Query{{__typename}}"
    ),
    "definitions of types": lambda n: each(n, lambda i: f"extend type Order{{a{i}:Int}}"),
    "ids": lambda n: f"{{nodes(ids:[{each(n, lambda i: f'1{i}')}]){{id}}}}",
    "wrong ids": lambda n: f"{{nodes(ids:[{'1.5 ' * n}]){{id}}}}",
    "unknown fields of an input": lambda n: (
        f"mutation{{placeOrder(input:{{{each(n, lambda i: f'custmer{i}:1')}}}){{__typename}}}}"
    ),
    "wrong values": lambda n: below("customer{orders(status:PLACD){totalCount}} " * n),
    "types side by side": lambda n: "{nodes(ids:[1]){" + each(n, lambda i: f"...on {_TYPES[i % 5]}{{id}}") + "}}",
    "pages by variables": lambda n: (
        f"query({each(n, lambda i: f'$v{i}:Int')}){{"
        + below(each(n, lambda i: f"a{i}:customer{{orders(first:$v{i}){{nodes{{id}}}}}}"))[1:]
    ),
    "deep fields": lambda n: "{node(id:1)" + "{a" * n + "}" * n + "}",
    "deep lists": lambda n: "{nodes(ids:" + "[" * n + "]" * n + "){id}}",
    "deep inline fragments": lambda n: below("...{" * n + "id" + "}" * n),
    "introspection": lambda n: (
        "{" + each(n, lambda i: f'a{i}:__type(name:"Query"){{fields{{args{{type{{name}}}}}}}}') + "}"
    ),
    "a long string": lambda n: '{node(id:"' + "x" * n + '"){id}}',
    "escapes": lambda n: '{node(id:"' + "\\u0041" * (n // 6) + '"){id}}',
    "a block of lines": lambda n: '{node(id:"""' + "\n" * n + '"""){id}}',
    "an open string": lambda n: '{node(id:"' + "x" * n,
    "a long number": lambda n: "{orders(first:" + "1" * n + "){totalCount}}",
    "a long name": lambda n: below("x" * n),
    "blanks": lambda n: " " * n + "{__typename}",
    "lines": lambda n: "\n" * n + "}",
    "comments": lambda n: "#\n" * (n // 2) + "{__typename}",
    "a long comment": lambda n: "#" + "x" * n + "\n{__typename}",
}  # fmt: skip
"""By what they are made of."""


@dataclass(frozen=True)
class Request:
    """A document, and variables."""

    text: str
    variables: Mapping[str, Any] = field(default_factory=dict[str, Any])


_IDS: Final = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"
_PLACE: Final = "mutation($input: PlaceOrderInput!) { placeOrder(input: $input) { __typename } }"
VARIABLES: Final[Mapping[str, Callable[[int], Request]]] = {
    "ids": lambda n: Request(_IDS, {"ids": ["1"] * n}),
    "numbers for ids": lambda n: Request(_IDS, {"ids": [1] * n}),
    "one wrong id": lambda n: Request(_IDS, {"ids": [*(["1"] * n), None]}),
    "lines of an order": lambda n: Request(
        _PLACE, {"input": {"customer": "c-1", "lines": [{"product": "p", "quantity": 1}] * n + [{"product": "p"}]}}
    ),
    "fields that are not there": lambda n: Request(
        _PLACE, {"input": {"customer": "c-1", "lines": [], **{f"f{i}": 0 for i in range(n)}}}
    ),
    "variables that are not there": lambda n: Request(_IDS, {f"f{i}": 0 for i in range(n)}),
}
"""Requests that are refused for their variables, or for what they cost with them."""


def largest(shape: Document, *, tokens: int, characters: int) -> str:
    """The longest document of a shape that is within both; a token is no shorter than a character."""
    low, high = 1, characters
    while low < high:
        middle = (low + high + 1) // 2
        text = shape(middle)
        fits = len(text) <= characters
        if fits:
            try:
                parse(text, no_location=True, max_tokens=tokens)
            except GraphQLSyntaxError as error:
                fits = "more than" not in error.message
        low, high = (middle, high) if fits else (low, middle - 1)
    return shape(low)
