"""Global ids: what they hold, and what is told of a text that is none."""

from collections.abc import Callable

import pytest

from schema.errors import BadIdError
from schema.ids import global_id, key_of, parse_id

TYPES = ("Order", "Customer")


def test_an_id_holds_type_and_key() -> None:
    assert parse_id(global_id("Order", "o-1"), TYPES) == ("Order", "o-1")
    assert key_of("Order:o-1", "Order", TYPES) == key_of("o-1", "Order", TYPES) == "o-1"


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: parse_id("s3cr3t", TYPES), "not an id of this graph: an id reads <Type>:<key>"),
        (lambda: parse_id("s3cr3t:1", TYPES), "not an id of this graph: an id reads <Type>:<key>"),
        (lambda: parse_id("Order:s3cr3t 1", TYPES), "not the key of an id: it has 1 to 255 characters, and no spaces"),
        (lambda: parse_id("Order:" + "s3cr3t" * 50, TYPES), "not the key of an id: it has 1 to 255 characters, and no spaces"),
        (lambda: parse_id("Order:", TYPES), "not the key of an id: it has 1 to 255 characters, and no spaces"),
        (lambda: key_of("s3cr3t 1", "Order", TYPES), "not the key of an id: it has 1 to 255 characters, and no spaces"),
        (lambda: key_of("Customer:s3cr3t", "Order", TYPES), "an id of another type: here it reads Order:<key>"),
    ],
)  # fmt: skip
def test_what_is_no_id_is_told_without_its_text(read: Callable[[], object], message: str) -> None:
    with pytest.raises(BadIdError) as caught:
        read()
    assert str(caught.value) == message
