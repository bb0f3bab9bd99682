"""The benchmark of the engine beside its peers: what is sent, how answers are compared, how figures follow, and that it runs."""

import asyncio
import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from graphql import build_schema, parse, validate

from benchmarks.composition import plot
from benchmarks.composition.answers import compare, normal
from benchmarks.composition.benchmark import draw, first_run, listing, page, same
from benchmarks.composition.data import shop
from benchmarks.composition.first_run import SDL, WARM_RUNS, Answered, Run, figures, trusted_figures, turns, unseen
from benchmarks.composition.load import CONNECTIONS, Asked, has_wrk, load_by_ourselves, load_by_wrk
from benchmarks.composition.operations import FOLDER as OPERATIONS
from benchmarks.composition.operations import Operation, order_list, order_page
from benchmarks.composition.peers import FOLDER, Peer, RunningPeer, available, read_peers, running_peers
from benchmarks.composition.rounds import Taken, Turn, beside, identical
from benchmarks.errors import BrokenRunError

ROOT = Path(__file__).parents[3]
BODIES = [b'{"n":%d}' % number for number in range(5)]


@asynccontextmanager
async def server(
    answer: bytes, status: int = 200, heard: list[bytes] | None = None, *, answers: int = 10**9
) -> AsyncGenerator[str]:
    """Answers every request with the same, and notes the bodies; each connection is closed after so many answers."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for _ in range(answers):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(length)
                if heard is not None:
                    heard.append(head + body)
                writer.write(b"HTTP/1.1 %d Some\r\nContent-Length: %d\r\n\r\n%b" % (status, len(answer), answer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/graphql"


def peer(name: str, **more: object) -> Peer:
    described: dict[str, object] = {"about": "", "start": ["x"], "path": "/graphql", "ready": "/", **more}
    return msgspec.convert({**described, "folder": name}, Peer, dec_hook=lambda kind, value: kind(value))


# -- what is sent -----------------------------------------------------------------------------------------------------


def test_each_body_asks_for_something_else_that_is_there() -> None:
    stocked = shop(300)
    pages, lists = order_page(stocked, 100), order_list(stocked, 100)
    assert len(set(pages.bodies)) == len(set(lists.bodies)) == 100
    assert {json.loads(body)["variables"]["id"] for body in pages.bodies} <= stocked.orders.keys()
    statuses = {json.loads(body)["variables"].get("status") for body in lists.bodies}
    assert statuses == {None, "PLACED", "CONFIRMED", "CANCELLED", "COMPLETED"}
    assert not any(b"\n" in body for body in [*pages.bodies, *lists.bodies]), "wrk takes them by the line"
    assert (order_page(shop(300), 100), order_list(shop(300), 100)) == (pages, lists)


def test_a_shop_without_a_full_page_is_refused() -> None:
    with pytest.raises(ValueError, match="too few orders"):
        order_list(shop(10), 100)


def test_every_text_is_of_the_graph_and_none_is_twice() -> None:
    schema = build_schema(SDL.read_text(encoding="utf-8"))
    texts = [*unseen(50), *(path.read_text(encoding="utf-8") for path in sorted(OPERATIONS.glob("*.graphql")))]
    assert len(texts) == 52
    assert len({text.partition("{")[2] for text in texts}) == 52
    assert [problem for text in texts for problem in validate(schema, parse(text))] == []


@pytest.mark.skipif(not has_wrk(), reason="wrk is not installed")
async def test_wrk_sends_the_bodies_in_turns() -> None:
    heard: list[bytes] = []
    async with server(b"{}", heard=heard) as url:
        found = await load_by_wrk(Asked(url, BODIES, 3, {"Authorization": "Bearer x"}), 1)
    assert heard[0].endswith((BODIES[3], BODIES[4]))  # it asks its script for one before it begins
    assert {one[one.index(b"{") :] for one in heard} == set(BODIES)
    assert all(b"authorization: bearer x\r\n" in one.lower() for one in heard)
    assert all(b"content-type: application/json\r\n" in one.lower() for one in heard)
    assert found.requests <= len(heard) <= found.requests + CONNECTIONS
    assert 0 < found.p50_ms <= found.p99_ms


async def test_our_own_client_sends_the_bodies_in_turns() -> None:
    heard: list[bytes] = []
    async with server(b"{}", heard=heard) as url:
        found = await load_by_ourselves(Asked(url, BODIES, 3, {"Authorization": "Bearer x"}), 0.05)
    assert heard[0].endswith(BODIES[3])
    assert {one[one.index(b"{") :] for one in heard} == set(BODIES)
    assert all(b"\r\nAuthorization: Bearer x\r\n" in one for one in heard)
    assert found.requests == len(heard)
    assert found.bytes == len(heard) * len(b"HTTP/1.1 200 Some\r\nContent-Length: 2\r\n\r\n{}")
    assert 0 < found.p50_ms <= found.p99_ms


async def test_an_answer_that_is_none_breaks_the_run() -> None:
    async with server(b"oops", status=503) as url:
        with pytest.raises(BrokenRunError, match=r"503.*oops"):
            await load_by_ourselves(Asked(url, BODIES), 0.05)
    async with server(b"{}", answers=3) as url:
        with pytest.raises(BrokenRunError, match="a connection ended"):
            await load_by_ourselves(Asked(url, BODIES), 10)


@pytest.mark.skipif(not has_wrk(), reason="wrk is not installed")
async def test_an_answer_that_is_none_breaks_the_run_of_wrk_too() -> None:
    async with server(b"oops", status=503) as url:
        with pytest.raises(BrokenRunError, match=r"requests to .* failed"):
            await load_by_wrk(Asked(url, BODIES), 1)


# -- answers ----------------------------------------------------------------------------------------------------------


def test_only_order_spaces_and_extensions_do_not_count() -> None:
    one = b'{"data": {"b": 1, "a": "\xc3\xb6"}, "extensions": {"cost": 3}}'
    assert normal(one) == normal(b'{"data":{"a":"\\u00f6","b":1}}')
    for other in (b'{"data":{"a":"\\u00f6","b":"1"}}', b'{"data":{"a":"\\u00f6","b":1},"errors":[]}'):
        assert normal(one) != normal(other)
    for none in (b"[]", b"<html>", b""):
        with pytest.raises(BrokenRunError, match="no GraphQL answer"):
            normal(none)


async def test_answers_that_differ_stop_the_run_with_both() -> None:
    operation = Operation("o", "", BODIES)
    async with server(b'{"data":{"a":1}}') as one, server(b'{"data":{ "a":1}}') as alike, server(b"<>") as floor:
        three = [
            RunningPeer(peer("floor", answers_graph=False), 1, floor),
            RunningPeer(peer("one"), 1, one),
            RunningPeer(peer("alike"), 1, alike),
        ]
        await compare(three, operation)
        async with server(b'{"data":{"a":2}}') as other:
            with pytest.raises(BrokenRunError, match=r'(?s)byte 13.*one answered .*"a":1.*other answered .*"a":2'):
                await compare([*three, RunningPeer(peer("other"), 1, other)], operation)
        async with server(b'{"data":{"a":1},"errors":[{}]}') as faulty:
            with pytest.raises(BrokenRunError, match="faulty answered"):
                await compare([RunningPeer(peer("faulty"), 1, faulty)], operation)


# -- peers ------------------------------------------------------------------------------------------------------------


def test_the_peers_of_the_project_are_described() -> None:
    found = {one.name: one for one in read_peers()}
    assert {"headrace", "strawberry", "strawberry_cached", "mercurius", "floor"} <= found.keys()
    assert [one.name for one in found.values() if not one.answers_graph] == ["floor"]
    bounded = {name.removeprefix("ratio_to_") for name in [*page.bounds, *listing.bounds] if name.startswith("ratio")}
    assert bounded <= found.keys()


def test_npm_packages_are_pinned() -> None:
    wanted = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["dependencies"]
    locked = json.loads((FOLDER / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert wanted == {name: locked[f"node_modules/{name}"]["version"] for name in wanted}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("about = 1", "about"),
        ('about = ""\nstart = ["a"]\npath = "/"\nready = "/"\nstarts = "x"', "starts"),
        ("about", "Expected '='"),
    ],
)
def test_a_description_that_is_none_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "peer.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BrokenRunError, match=rf"mine/peer\.toml: .*{told}"):
        read_peers(tmp_path)


def test_what_cannot_be_had_is_left_out_and_told(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    install = {"install": [sys.executable, "-c", "open('done', 'x')"], "installed": "done", "lock": "lock"}
    broken = {**install, "install": [sys.executable, "-c", "raise SystemExit('no network')"], "installed": "never"}
    told: list[str] = []

    def names(*peers: Peer) -> list[str]:
        return [one.name for one in available(peers, told.append)]

    assert names(peer("a", needs=["no-such-program"]), peer("b-c")) == ["b_c"]
    assert told == ["a is left out: there is no no-such-program on the PATH"]
    assert names(peer(str(tmp_path), **install)) == [tmp_path.name]
    assert names(peer(str(tmp_path), **install)) == [tmp_path.name], "it is there: it would fail to install it again"
    assert len(told) == 1
    assert names(peer(str(tmp_path), **broken)) == []
    assert "no network" in told[-1]


async def test_a_server_that_does_not_come_up_is_told_with_its_last_words(tmp_path: Path) -> None:
    silent = peer(
        str(tmp_path), start=["{python}", "-c", "import os; print('no port', os.environ['PORT'] != '{port}')"]
    )
    with pytest.raises(BrokenRunError, match=r"did not come up: no answer\nno port False"):
        async with running_peers([silent], "redis://127.0.0.1:1"):
            raise AssertionError


# -- figures ----------------------------------------------------------------------------------------------------------


def taken(*rates: float, cpu_us: float = 100.0) -> list[Taken]:
    return [Taken(per_s, cpu_us, 10.0, 0.9, 1.0, 2.0) for per_s in rates]


ROUNDS = {
    Turn("headrace", "order_page"): taken(300, 100, 200),
    Turn("mercurius", "order_page"): taken(100, 100, 50, cpu_us=150.0),
    Turn("headrace", "order_list"): taken(10, 10, 10),
    Turn("headrace", "order_list", identical=True): taken(15, 30, 20),
    Turn("mercurius", "order_list"): taken(5, 5, 5),
    Turn("mercurius", "order_list", identical=True): taken(5, 5, 10),
}


def test_ratios_are_of_one_round_and_figures_are_medians() -> None:
    found = beside(ROUNDS, "order_page")
    assert (found["ratio_to_mercurius"], found["cpu_ratio_to_mercurius"]) == (3, 1.5)
    assert (found["headrace_per_s"], found["mercurius_per_s"], found["headrace_core_percent"]) == (200, 100, 90)
    again = identical(ROUNDS, {"order_list": "list"})
    assert again["list_identical_to_varied"] == 2
    assert again["mercurius_list_identical_to_varied"] == 1
    assert again["headrace_list_identical_per_s"] == 20


def test_a_first_run_is_held_against_checking_its_own_text() -> None:
    runs = [Run(3, 3, 4, 3.5, 1), Run(2, 2, 5, 4.5, 1), Run(9, 8, 11, 10, 1)]
    assert figures(runs)["first_run_beyond_checking_ms"] == 2
    assert figures(runs)["first_run_cpu_beyond_checking_ms"] == 2


def test_a_trusted_document_is_asked_for_first_and_then_between_others() -> None:
    asked = list(turns(30))
    assert sorted(asked) == [(place, times) for place in range(30) for times in range(1 + WARM_RUNS)]
    for place in range(30):
        assert [times for other, times in asked if other == place] == list(range(1 + WARM_RUNS))
    assert all(one != other for (one, _), (other, _) in pairwise(asked))


def test_first_runs_of_trusted_documents_are_held_against_later_ones() -> None:
    runs = [[Answered(2.0, 300.0), Answered(4.0, 900.0), Answered(3.0, 600.0)]]
    runs += [[Answered(2.0, 500.0)] * 3, [Answered(1.0, 400.0), Answered(2.0, 500.0), Answered(9.0, 600.0)]]
    found = trusted_figures(runs)
    assert (found["trusted_first_to_warm"], found["trusted_first_to_warm_cpu"]) == (1.5, 1.2)
    assert (found["trusted_first_run_p50_ms"], found["trusted_warm_run_cpu_p50_us"]) == (3.0, 500.0)


def test_the_plot_has_a_bar_for_every_server_of_every_group() -> None:
    drawn = draw({"P1": beside(ROUNDS, "order_page"), "P2b": identical(ROUNDS, {"order_list": "list"})})
    assert drawn
    tree = ET.fromstring(drawn)  # noqa: S314 - made here
    texts = [element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[1:] == [
        "Order page over five contexts, bodies vary",
        *("headrace", "200/s, 100 us of CPU", "mercurius", "100/s, 150 us of CPU"),
        "20 such orders, one identical body",
        *("headrace", "20/s, 100 us of CPU", "mercurius", "5/s, 100 us of CPU"),
    ]
    widths = [float(bar.get("width", "0")) for bar in tree.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert widths == sorted(widths, reverse=True)
    assert draw({"P3": {"first_run_p50_ms": 1.0}}) is None
    assert plot.svg("<&>", [], "x").count("&lt;&amp;&gt;") == 1


# -- that it runs -----------------------------------------------------------------------------------------------------


async def test_it_runs() -> None:
    """With so little to do that the figures mean nothing, against the floor alone."""
    program = "import json, uvloop; from benchmarks.composition.benchmark import QUICK, compose\n"
    program += 'print(json.dumps(uvloop.run(compose(["P1", "P2", "P2b", "P3"], QUICK)), allow_nan=False))'
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            said, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode == 0
    found = json.loads(said)
    absent = {"ratio_to_strawberry_cached", "ratio_to_mercurius"}
    for benchmark in (page, listing, same, first_run):
        assert set(benchmark.bounds) - found[benchmark.id].keys() <= absent, benchmark.id
    assert found["P1"]["floor_per_s"] > 0
    assert "floor_per_s" not in found["P2"]
