"""Whatever is sent, the answer says which field is wrong, and is never a 500."""

import contextlib
import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.shop import catalog, customers, orders, payments, shipping
from examples.shop.service.declare import Creation, Input
from examples.shop.service.errors import InputError
from examples.shop.service.inputs import decode
from tests.shop.service import ServiceUnderTest

NOT_JSON = [
    b"{",
    b'{"a":}',
    b"{'a':1}",
    b"\xff",
    b'{"a":"\xff"}',
    b'{"a":"\\ud800"}',
    b'{"a":NaN}',
    b"{} x",
    b"\xef\xbb\xbf{}",
]
PEN: dict[str, Any] = {"sku": "P-1", "title": "Pen", "brand": "Brand#1", "category": "TIN", "price": "12.30"}
LINE: dict[str, Any] = {"product": "p-1", "quantity": "1"}


def pointers(body: bytes | Any, kind: type[Input]) -> list[str]:
    with pytest.raises(InputError) as wrong:
        decode(body if isinstance(body, bytes) else msgspec.json.encode(body), kind, "/x")
    assert wrong.value.status == 422
    assert all(field.detail for field in wrong.value.fields)
    return [field.pointer for field in wrong.value.fields]


@pytest.mark.parametrize(
    "price",
    ["0", "0.00", "-1", "1.001", "NaN", "Infinity", "-Infinity", "1e13", "1e999999", "1_000", " 1", "", "a", "٣"],
)
def test_prices_that_are_none(price: str) -> None:
    assert pointers(PEN | {"price": price}, catalog.ListProduct) == ["#/price"]


@pytest.mark.parametrize("price", ["1" * 100, None, True, [], {}, 1.005])
def test_prices_that_are_something_else(price: Any) -> None:
    assert pointers(PEN | {"price": price}, catalog.ListProduct) == ["#/price"]


@pytest.mark.parametrize(
    ("price", "read"),
    [("12.30", "12.30"), ("1e3", "1000"), (12, "12"), (0.1, "0.1"), ("+.5", "0.5"), ("1E+12", "1e12")],
)
def test_prices_that_are_some(price: Any, read: str) -> None:
    decoded = decode(msgspec.json.encode(PEN | {"price": price}), catalog.ListProduct, "/x").input
    assert isinstance(decoded, catalog.ListProduct)
    assert decoded.price == Decimal(read)


@pytest.mark.parametrize("quantity", ["0", "-1", "1000001", "0.0000001", "NaN", None])
def test_quantities_that_are_none(quantity: Any) -> None:
    order = {"customer": "c-1", "lines": [LINE, LINE | {"quantity": quantity}]}
    assert pointers(order, orders.PlaceOrder) == ["#/lines/1/quantity"]


@pytest.mark.parametrize("text", ["", " ", "\t", "a\x00b", "a\nb", "x" * 201, 1, None, ["a"]])
def test_texts_that_are_none(text: Any) -> None:
    assert pointers(PEN | {"title": text}, catalog.ListProduct) == ["#/title"]


@pytest.mark.parametrize("key", ["", "a:b", "a/b", "a b", "-a", "ü", "x" * 101, "a\x00", "a\n", 7, None])
def test_keys_that_are_none(key: Any) -> None:
    assert pointers({"customer": key, "lines": [LINE]}, orders.PlaceOrder) == ["#/customer"]
    assert pointers({"order": key, "amount": "1"}, payments.AuthorizePayment) == ["#/order"]


@pytest.mark.parametrize("email", ["", "a", "@", "a@", "a b@c", "a@b\n", "x" * 255 + "@a", 5])
def test_emails_that_are_none(email: Any) -> None:
    assert pointers({"email": email}, customers.ChangeContact) == ["#/email"]


@pytest.mark.parametrize("lines", [[], [LINE] * 101, {}, None, "x"])
def test_orders_have_1_to_100_lines(lines: Any) -> None:
    assert pointers({"customer": "c-1", "lines": lines}, orders.PlaceOrder) == ["#/lines"]


@pytest.mark.parametrize("numbers", [[0], [-1], ["1"], [1.5], [2**70], [True]])
def test_line_numbers_are_whole_and_positive(numbers: Any) -> None:
    assert pointers({"order": "o-1", "lineNumbers": numbers}, shipping.CreateShipment) == ["#/lineNumbers/0"]


def test_all_wrong_fields_are_named_at_once() -> None:
    wrong = {"sku": 1, "title": "", "category": "C", "price": "0", "colour": "red", "a/b~c": 1}
    found = pointers(wrong, catalog.ListProduct)
    assert found == ["#/sku", "#/title", "#/brand", "#/price", "#/a~1b~0c", "#/colour"]


def test_a_long_name_is_not_echoed() -> None:
    assert len(pointers(PEN | {"x" * 10_000: 1}, catalog.ListProduct)[0]) < 100


def test_a_name_is_described_in_words() -> None:
    with pytest.raises(InputError) as wrong:
        decode(b'{"name": " ", "email": "x"}', customers.ChangeContact, "/x")
    assert [field.detail for field in wrong.value.fields] == ["Expected a line of text", "Expected an e-mail address"]


@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"', b"null", b"true"])
def test_a_body_is_an_object(body: bytes) -> None:
    assert pointers(body, orders.ConfirmOrder) == ["#"]


@pytest.mark.parametrize(
    "body",
    [*NOT_JSON, b"[" * 60_000, b'{"a":' * 10_000, b'{"a":' + b"9" * 5_000 + b"}"],
)
async def test_what_is_not_json_is_400(customers_service: ServiceUnderTest, body: bytes) -> None:
    response = await customers_service.client.post("/customers", content=body, headers={"Idempotency-Key": "k"})
    assert (response.status_code, response.json()["code"]) == (400, "INVALID_JSON")


async def test_an_empty_body_is_an_empty_object(catalog_service: ServiceUnderTest) -> None:
    key = await catalog_service.made("/products", PEN)
    response = await catalog_service.client.post(f"/products/{key}/discontinue", headers={"Idempotency-Key": "k"})
    assert response.status_code == 200


async def test_bodies_are_bounded(customers_service: ServiceUnderTest) -> None:
    response = await customers_service.client.post(
        "/customers", content=b" " * 70_000, headers={"Idempotency-Key": "k"}
    )
    assert (response.status_code, response.json()["code"]) == (413, "BODY_TOO_LARGE")


async def test_bodies_are_json(customers_service: ServiceUnderTest) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": "text/plain"}
    response = await customers_service.client.post("/customers", content=b"{}", headers=headers)
    assert (response.status_code, response.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_the_entity_may_be_in_the_body_as_well_if_it_is_the_same(catalog_service: ServiceUnderTest) -> None:
    key = await catalog_service.made("/products", PEN)
    same = await catalog_service.post(f"/products/{key}/price", {"price": "1", "product": key})
    assert same.status_code == 200
    other = await catalog_service.post(f"/products/{key}/price", {"price": "1", "product": "p-2"})
    assert other.status_code == 422
    assert other.json()["errors"] == [{"pointer": "#/product", "detail": "is not the one in the path"}]


@pytest.mark.parametrize("key", ["p-404", "a%00b", "a%20b", "%2E%2E", "x" * 300])
async def test_commands_to_what_is_not_there_are_404(catalog_service: ServiceUnderTest, key: str) -> None:
    response = await catalog_service.post(f"/products/{key}/discontinue")
    assert (response.status_code, response.json()["code"]) == (404, "PRODUCT_NOT_FOUND")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
CREATIONS = [
    command.input
    for context in (customers.context, catalog.context, orders.context, payments.context, shipping.context)
    for command in context.commands
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kind=st.sampled_from(CREATIONS), data=st.data())
def test_hostile_values_in_every_field_are_input_errors(kind: type[Input], data: st.DataObject) -> None:
    names = [field.encode_name for field in msgspec.structs.fields(kind)]
    body = data.draw(st.dictionaries(st.sampled_from([*names, "other"]), JSON, max_size=len(names) + 1))
    with contextlib.suppress(InputError):
        assert isinstance(decode(json.dumps(body).encode(), kind, "/x").input, kind)


def test_every_input_is_tried() -> None:
    assert len(CREATIONS) == len(set(CREATIONS)) == 17
    assert any(isinstance(command, Creation) for command in orders.context.commands)
