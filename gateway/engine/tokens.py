"""Tokens of a document, which only the parser needs.

Invariants: a document without them is as good as before: every node still tells where it begins and ends.
"""

from __future__ import annotations

from graphql import DocumentNode, Node, Token


def drop_tokens(document: DocumentNode) -> None:
    """Lets go of its tokens: a quarter of its bytes, and they refer to each other: only the collector would find them."""
    token: Token | None = document.loc.start_token if document.loc else None
    while token is not None:
        token.prev, token.next, token = None, None, token.next
    waiting: list[Node] = [document]
    while waiting:
        node = waiting.pop()
        if node.loc is not None:
            del node.loc.start_token, node.loc.end_token
        for key in node.keys:
            value = getattr(node, key, None)
            if isinstance(value, Node):
                waiting.append(value)
            elif isinstance(value, tuple):
                waiting += [item for item in value if isinstance(item, Node)]
