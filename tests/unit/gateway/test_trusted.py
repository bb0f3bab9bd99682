"""Trusted documents: read from a folder or a manifest, checked whole, compiled before the gateway is ready."""

import json
from pathlib import Path

import pytest

from gateway.access.fields import Need
from gateway.app import create_app
from gateway.engine.trusted import read_trusted
from gateway.errors import TrustedDocumentsError
from projections.store.memory import MemoryStore
from tests.serving import COMPOSED, gateway, settings
from tests.shop_views import fill
from tests.unit.gateway.test_entry_points import run

ORDER = "query Order($id: ID!, $more: Boolean!) { order(id: $id) { total status @include(if: $more) } }"


def test_a_folder_names_them_by_path(tmp_path: Path) -> None:
    (tmp_path / "mobile").mkdir()
    (tmp_path / "mobile" / "order.graphql").write_text(ORDER)
    (tmp_path / "mobile" / "v2.order.gql").write_text("{ order(id: 2) { total } }")
    (tmp_path / "README.md").write_text("not one of them")
    assert read_trusted(tmp_path) == {"mobile/order": ORDER, "mobile/v2.order": "{ order(id: 2) { total } }"}


def test_a_folder_without_any_is_no_empty_set_of_them(tmp_path: Path) -> None:
    (tmp_path / "order.graphqls").write_text(ORDER)
    with pytest.raises(TrustedDocumentsError, match=r"has no document: no \*\.graphql or \*\.gql file"):
        read_trusted(tmp_path)


def test_two_files_of_one_name_are_told(tmp_path: Path) -> None:
    for ending in ("graphql", "gql"):
        (tmp_path / f"order.{ending}").write_text(ORDER)
    with pytest.raises(TrustedDocumentsError, match="'order' more than once"):
        read_trusted(tmp_path)


@pytest.mark.parametrize(
    "manifest",
    [
        '{"a1": "{ x }", "b2": "{ y }", "a1": "{ z }"}',
        '{"format": "f", "operations": [{"id": "a1", "body": "{ x }"}, {"id": "a1", "body": "{ x }"}]}',
    ],
)
def test_a_manifest_has_each_name_once(tmp_path: Path, manifest: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(manifest)
    with pytest.raises(TrustedDocumentsError, match="'a1' more than once") as raised:
        read_trusted(path)
    assert len(raised.value.problems) == 1


@pytest.mark.parametrize(
    "manifest",
    [
        {"a1": ORDER},
        {
            "format": "apollo-persisted-query-manifest",
            "version": 1,
            "operations": [{"id": "a1", "body": ORDER, "name": "O"}],
        },
    ],
)
def test_manifests_of_both_kinds(tmp_path: Path, manifest: object) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))
    assert read_trusted(path) == {"a1": ORDER}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[", "is no manifest: not JSON"),
        (b"[]", 'is no manifest: it is {"<name or hash>": "<text>"}, or '),
        (b'{"a": 1}', 'is no manifest: it is {"<name or hash>": "<text>"}, or '),
        (b'{"format": "f", "operations": [{"id": "a"}]}', "missing required field `body`"),
        (b"{}", "has no document: an empty manifest"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_what_is_no_manifest_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(TrustedDocumentsError, match=r"manifest\.json") as raised:
        read_trusted(path)
    assert told in str(raised.value)


def test_all_that_do_not_fit_are_named_at_start(tmp_path: Path) -> None:
    for name, text in {"good": ORDER, "typo": "{ ordre { id } }", "broken": "{"}.items():
        (tmp_path / f"{name}.graphql").write_text(text)
    with pytest.raises(TrustedDocumentsError) as raised:
        create_app(settings(HEADRACE_TRUSTED_DOCUMENTS=str(tmp_path)), COMPOSED)
    assert len(raised.value.problems) == 2
    assert "typo: 1:3 " in str(raised.value)
    assert "broken: " in str(raised.value)


async def test_they_are_compiled_before_the_first_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "order.graphql").write_text(ORDER)
    store = MemoryStore()
    await fill(store)
    async with gateway(store, HEADRACE_TRUSTED_DOCUMENTS=str(tmp_path)) as client:
        for work in ("Compiler.compile", "FieldPolicy.needs"):
            monkeypatch.setattr(f"gateway.engine.engine.{work}", None)  # whoever needs it now fails
        for more in (True, False):
            order = (await client.data(ORDER, {"id": "o-1", "more": more}))["order"]
            assert set(order) == ({"total", "status"} if more else {"total"})


async def test_one_that_is_not_for_everybody_is_compiled_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "order.graphql").write_text("query($id: ID!) { order(id: $id) { total } }")

    def scoped(*_: object) -> list[Need]:
        return [Need("Order.total", "orders:read", frozenset())]

    monkeypatch.setattr("gateway.engine.engine.FieldPolicy.needs", scoped)
    async with gateway(MemoryStore(), HEADRACE_TRUSTED_DOCUMENTS=str(tmp_path)) as client:
        monkeypatch.setattr("gateway.engine.engine.FieldPolicy.needs", None)
        answer = await client.ask((tmp_path / "order.graphql").read_text(), {"id": "o-1"})
        assert [error["message"] for error in answer["errors"]] == ["not allowed: Order.total"]


def test_check_tells_plan_cost_and_round_trips(tmp_path: Path) -> None:
    (tmp_path / "order.graphql").write_text("{ order(id: 1) { total customer { name } } }")
    (tmp_path / "total.graphql").write_text("{ order(id: 1) { total } }")
    (tmp_path / "schema.graphql").write_text("{ __schema { description } }")
    done = run("check", HEADRACE_TRUSTED_DOCUMENTS=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "order: cost " in done.stdout
    assert "2 round trips" in done.stdout
    assert "total: cost 2, 1 round trip\n" in done.stdout
    assert "trip 2: order.customer, documents of customers" in done.stdout
    assert "schema: cost 0, not compiled: introspection" in done.stdout
    (tmp_path / "typo.graphql").write_text("{ ordre { id } }")
    for command in ("check", "serve"):
        refused = run(command, HEADRACE_TRUSTED_DOCUMENTS=str(tmp_path))
        assert refused.returncode == 2
        assert "typo: 1:3" in refused.stderr
        assert "Traceback" not in refused.stderr
