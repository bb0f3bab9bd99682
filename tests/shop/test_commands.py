"""The HTTP contract of commands and owner reads, on SQLite and PostgreSQL."""

import asyncio
import json
from datetime import timedelta
from typing import Any, ClassVar

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from examples.shop import catalog, orders
from examples.shop.service import answers
from examples.shop.service.answers import KEPT_FOR
from tests.shop.service import Elsewhere, ServiceUnderTest, under_test

PEN = {"sku": "P-1", "title": "Pen", "brand": "Brand#1", "category": "TIN", "price": "12.30"}


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"] == f"urn:headrace:shop:{code.lower().replace('_', '-')}"
    assert body["title"]
    return body


class TestAccepted:
    async def test_a_creation_answers_201_with_state_and_version(self, catalog_service: ServiceUnderTest) -> None:
        response = await catalog_service.post("/products", PEN)
        assert response.status_code == 201
        assert response.headers["content-type"] == "application/json"
        body = response.json()
        assert body == {"id": body["id"], **PEN, "available": True}
        assert body["id"].startswith("p-")
        assert response.headers["aggregate-version"] == f'"product/{body["id"]}";v=1'

    async def test_a_change_answers_200_and_counts_the_version_up(self, catalog_service: ServiceUnderTest) -> None:
        key = await catalog_service.made("/products", PEN)
        response = await catalog_service.post(f"/products/{key}/price", {"price": "9.9"})
        assert response.status_code == 200
        assert response.json()["price"] == "9.90"
        assert response.headers["aggregate-version"] == f'"product/{key}";v=2'

    async def test_a_command_that_changes_nothing_has_the_current_version(
        self, catalog_service: ServiceUnderTest
    ) -> None:
        key = await catalog_service.made("/products", PEN)
        response = await catalog_service.post(f"/products/{key}/price", {"price": "12.3"})
        assert (response.status_code, response.headers["aggregate-version"]) == (200, f'"product/{key}";v=1')
        assert len(await catalog_service.outbox()) == 1

    async def test_facts_carry_what_the_command_brought(self, catalog_service: ServiceUnderTest) -> None:
        traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        headers = {"X-Correlation-Id": "visit-7", "traceparent": traceparent}
        await catalog_service.post("/products", PEN, key="command-1", headers=headers)
        (row,) = await catalog_service.outbox()
        assert (row.correlation_id, row.causation_id, row.traceparent) == ("visit-7", "command-1", traceparent)
        assert (row.aggregate, row.epoch, row.version, row.type) == ("product", 0, 1, "shop.products.ProductState")
        assert row.time == "2026-03-01T12:00:00Z"

    async def test_malformed_tracing_is_dropped_and_none_is_invented(self, catalog_service: ServiceUnderTest) -> None:
        await catalog_service.post("/products", PEN, headers={"X-Correlation-Id": "a b", "traceparent": "00-x"})
        (row,) = await catalog_service.outbox()
        assert (row.correlation_id, row.traceparent) == (None, None)

    async def test_the_relay_is_told_of_every_commit(self, catalog_service: ServiceUnderTest) -> None:
        await catalog_service.post("/products", PEN)
        assert len(catalog_service.commits) == 1


class TestIdempotency:
    async def test_the_same_command_gets_the_first_answer_byte_for_byte(
        self, catalog_service: ServiceUnderTest
    ) -> None:
        first = await catalog_service.post("/products", PEN, key="k")
        await catalog_service.post(f"/products/{first.json()['id']}/price", {"price": "1"})
        again = await catalog_service.post("/products", PEN, key="k")
        assert (again.status_code, again.content, again.headers) == (201, first.content, first.headers)
        assert len(await catalog_service.outbox()) == 2

    async def test_spaces_and_order_of_fields_are_not_another_body(self, catalog_service: ServiceUnderTest) -> None:
        first = await catalog_service.post("/products", PEN, key="k")
        body = json.dumps(dict(reversed(PEN.items())), indent=2)
        headers = {"Idempotency-Key": "k", "Content-Type": "application/json; charset=utf-8"}
        again = await catalog_service.client.post("/products", content=body, headers=headers)
        assert again.content == first.content

    async def test_another_body_or_another_path_under_the_same_key_is_422(
        self, catalog_service: ServiceUnderTest
    ) -> None:
        key = await catalog_service.made("/products", PEN)
        await catalog_service.post(f"/products/{key}/price", {"price": "1"}, key="k")
        problem(
            await catalog_service.post(f"/products/{key}/price", {"price": "2"}, key="k"), 422, "IDEMPOTENCY_KEY_REUSED"
        )
        problem(await catalog_service.post(f"/products/{key}/discontinue", key="k"), 422, "IDEMPOTENCY_KEY_REUSED")

    async def test_a_refusal_is_an_answer_as_well(self, catalog_service: ServiceUnderTest) -> None:
        key = await catalog_service.made("/products", PEN)
        first = await catalog_service.post("/products", PEN, key="k")
        problem(first, 409, "SKU_TAKEN")
        await catalog_service.post(f"/products/{key}/discontinue")
        await catalog_service.post(f"/products/{key}/remove")
        assert (await catalog_service.post("/products", PEN, key="k")).content == first.content
        assert (await catalog_service.post("/products", PEN)).status_code == 201

    async def test_a_wrong_request_may_be_mended_under_its_key(self, catalog_service: ServiceUnderTest) -> None:
        problem(await catalog_service.post("/products", PEN | {"price": "0"}, key="k"), 422, "INVALID_INPUT")
        assert (await catalog_service.post("/products", PEN, key="k")).status_code == 201

    async def test_at_the_same_time_it_is_done_once(self, catalog_service: ServiceUnderTest) -> None:
        responses = await asyncio.gather(*(catalog_service.post("/products", PEN, key="k") for _ in range(8)))
        assert {(response.status_code, response.content) for response in responses} == {(201, responses[0].content)}
        assert len(await catalog_service.outbox()) == 1

    async def test_old_answers_are_forgotten(self, catalog_service: ServiceUnderTest) -> None:
        first = await catalog_service.post("/products", PEN, key="k")
        assert await catalog_service.database.write(answers.forget, catalog_service.clock()) == 0
        catalog_service.clock.advance(KEPT_FOR + timedelta(seconds=1))
        assert await catalog_service.database.write(answers.forget, catalog_service.clock()) == 1
        problem(await catalog_service.post("/products", PEN, key="k"), 409, "SKU_TAKEN")
        assert first.status_code == 201

    @pytest.mark.parametrize("key", ["with space", "ü", "x" * 256, ""])
    async def test_a_malformed_key_is_400(self, catalog_service: ServiceUnderTest, key: str) -> None:
        headers = httpx.Headers({"Idempotency-Key": key}, encoding="utf-8")
        response = await catalog_service.client.post("/products", json=PEN, headers=headers)
        problem(response, 400, "IDEMPOTENCY_KEY_INVALID")

    async def test_a_missing_key_is_400(self, catalog_service: ServiceUnderTest) -> None:
        problem(await catalog_service.client.post("/products", json=PEN), 400, "IDEMPOTENCY_KEY_MISSING")

    async def test_the_key_may_stand_in_quotes(self, catalog_service: ServiceUnderTest) -> None:
        first = await catalog_service.post("/products", PEN, key='"k"')
        assert (await catalog_service.post("/products", PEN, key="k")).content == first.content


class TestVersions:
    async def test_the_version_that_was_seen_is_checked(self, catalog_service: ServiceUnderTest) -> None:
        key = await catalog_service.made("/products", PEN)
        seen = {"If-Match": '"1"'}
        assert (await catalog_service.post(f"/products/{key}/price", {"price": "1"}, headers=seen)).status_code == 200
        stale = await catalog_service.post(f"/products/{key}/price", {"price": "2"}, headers=seen)
        problem(stale, 412, "VERSION_MISMATCH")
        assert stale.headers["aggregate-version"] == f'"product/{key}";v=2'
        assert len(await catalog_service.outbox()) == 2

    async def test_of_two_who_saw_the_same_one_wins(self, catalog_service: ServiceUnderTest) -> None:
        key = await catalog_service.made("/products", PEN)
        prices = [{"price": f"{euros}.00"} for euros in range(1, 9)]
        responses = await asyncio.gather(
            *(catalog_service.post(f"/products/{key}/price", price, headers={"If-Match": '"1"'}) for price in prices)
        )
        assert sorted(response.status_code for response in responses) == [200] + [412] * 7

    async def test_all_changes_at_the_same_time_count(self, catalog_service: ServiceUnderTest) -> None:
        key = await catalog_service.made("/products", PEN)
        await asyncio.gather(*(catalog_service.post(f"/products/{key}/price", {"price": f"{n}"}) for n in range(1, 9)))
        assert [row.version for row in await catalog_service.outbox()] == list(range(1, 10))

    async def test_of_two_with_the_same_sku_one_wins(self, catalog_service: ServiceUnderTest) -> None:
        responses = await asyncio.gather(*(catalog_service.post("/products", PEN) for _ in range(8)))
        assert sorted(response.status_code for response in responses) == [201] + [409] * 7

    async def test_another_process_may_write_at_the_same_time(
        self, any_url: str, catalog_service: ServiceUnderTest
    ) -> None:
        key = await catalog_service.made("/products", PEN)
        async with under_test(catalog.context, any_url) as other:
            responses = await asyncio.gather(
                *(
                    service.post(f"/products/{key}/price", {"price": f"{number}"})
                    for number in range(1, 21)
                    for service in (catalog_service, other)
                )
            )
        assert {response.status_code for response in responses} == {200}
        facts = [row.version for row in await catalog_service.outbox()]
        assert facts == list(range(1, len(facts) + 1))

    @pytest.mark.parametrize("tag", ["7", "*", 'W/"7"', '"x"', '"1", "2"', '"-1"', '""'])
    async def test_a_malformed_if_match_is_400(self, catalog_service: ServiceUnderTest, tag: str) -> None:
        key = await catalog_service.made("/products", PEN)
        response = await catalog_service.post(f"/products/{key}/price", {"price": "1"}, headers={"If-Match": tag})
        problem(response, 400, "IF_MATCH_INVALID")

    async def test_a_creation_has_no_version_to_match(self, catalog_service: ServiceUnderTest) -> None:
        problem(await catalog_service.post("/products", PEN, headers={"If-Match": '"1"'}), 400, "IF_MATCH_INVALID")


class TestOwnerRead:
    @pytest.mark.parametrize("path", ["/product/nobody", "/product/a%00b", "/product/%F0%9F%98%80"])
    async def test_what_never_was_is_404(self, catalog_service: ServiceUnderTest, path: str) -> None:
        response = await catalog_service.client.get(path)
        problem(response, 404, "PRODUCT_NOT_FOUND")
        assert "aggregate-version" not in response.headers

    async def test_the_published_state_with_its_version(self, catalog_service: ServiceUnderTest) -> None:
        key = await catalog_service.made("/products", PEN)
        response = await catalog_service.client.get(f"/product/{key}")
        assert response.status_code == 200
        assert response.json() == {"id": key, **PEN, "available": True}
        assert response.headers["aggregate-version"] == f'"product/{key}";v=1'

    async def test_what_was_removed_keeps_its_version(self, catalog_service: ServiceUnderTest) -> None:
        key = await catalog_service.made("/products", PEN)
        await catalog_service.post(f"/products/{key}/discontinue")
        removed = await catalog_service.post(f"/products/{key}/remove")
        assert removed.json() == {"id": key}
        gone = await catalog_service.client.get(f"/product/{key}")
        problem(gone, 404, "PRODUCT_NOT_FOUND")
        again = await catalog_service.post(f"/products/{key}/remove")
        problem(again, 404, "PRODUCT_NOT_FOUND")
        expected = f'"product/{key}";v=3'
        assert [answer.headers["aggregate-version"] for answer in (removed, gone, again)] == [expected] * 3
        tombstone = (await catalog_service.outbox())[-1]
        assert (tombstone.version, tombstone.data, tombstone.type) == (3, None, "shop.products.ProductRemoved")


class TestNotRoutes:
    async def test_unknown_routes_and_methods_are_problems_too(self, catalog_service: ServiceUnderTest) -> None:
        problem(await catalog_service.client.get("/nowhere"), 404, "NO_SUCH_ROUTE")
        wrong = await catalog_service.client.delete("/products")
        problem(wrong, 405, "METHOD_NOT_ALLOWED")
        assert wrong.headers["allow"] == "POST"

    async def test_alive(self, catalog_service: ServiceUnderTest) -> None:
        assert (await catalog_service.client.get("/livez")).status_code == 200


class TestTrouble:
    async def test_a_database_that_is_away_is_503_and_worth_another_try(
        self, catalog_service: ServiceUnderTest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as outage:
            outage.setattr(catalog_service.database, "write", _unavailable)
            outage.setattr(catalog_service.database, "read", _unavailable)
            refused = await catalog_service.post("/products", PEN, key="k")
            problem(refused, 503, "DATABASE_UNAVAILABLE")
            assert refused.headers["retry-after"] == "1"
            problem(await catalog_service.client.get("/product/p-1"), 503, "DATABASE_UNAVAILABLE")
        assert (await catalog_service.post("/products", PEN, key="k")).status_code == 201


async def _unavailable(*_: object) -> None:
    raise OperationalError("select", None, Exception("secret host name"))


class TestUnknownReferences:
    """A command may be faster than the news of what it refers to."""

    order: ClassVar = {"customer": "c-1", "lines": [{"product": "p-1", "quantity": "2"}]}
    product = '{"price": "12.30", "available": true, "sku": "P-1"}'

    async def test_without_patience_it_is_refused_and_stays_refused(self, orders_service: ServiceUnderTest) -> None:
        refused = await orders_service.post("/orders", self.order, key="k")
        body = problem(refused, 409, "PRODUCT_UNKNOWN")
        assert body["errors"] == [{"pointer": "#/lines/0/product", "detail": "is not a known product"}]
        await orders_service.hear(Elsewhere(catalog.context.topic, "p-1").tells("ProductState", self.product))
        assert (await orders_service.post("/orders", self.order, key="k")).content == refused.content
        assert (await orders_service.post("/orders", self.order)).status_code == 201

    async def test_with_patience_it_waits_for_the_news(self, sqlite_url: str) -> None:
        async with under_test(orders.context, sqlite_url, patience_ms=20_000) as service, asyncio.TaskGroup() as group:
            placing = group.create_task(service.post("/orders", self.order))
            elsewhere = Elsewhere(catalog.context.topic, "p-0")
            await service.hear(elsewhere.tells("ProductState", self.product))
            await service.hear(Elsewhere(catalog.context.topic, "p-1").tells("ProductState", self.product))
            response = await placing
            assert response.status_code == 201, response.text
            assert response.json()["total"] == "24.60"

    async def test_patience_ends_before_the_callers_own(self, sqlite_url: str) -> None:
        async with under_test(orders.context, sqlite_url, patience_ms=60_000) as service:
            async with asyncio.timeout(10):
                hurried = await service.post("/orders", self.order, headers={"X-Request-Timeout-Ms": "100"})
            problem(hurried, 409, "PRODUCT_UNKNOWN")
