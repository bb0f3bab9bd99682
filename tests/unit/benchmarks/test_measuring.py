"""What benchmarks measure with: quantiles, clients side by side, cores, CPU time, and a load generator's connection."""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from benchmarks import machine
from benchmarks.errors import BrokenRunError
from benchmarks.http import connected
from benchmarks.load import side_by_side
from benchmarks.machine import LOAD_CORE, SERVER_CORE, cores, pinned
from benchmarks.measure import median_call_us, quantile, spread
from benchmarks.processes import CpuMeter, core_wait_us, cpu_us, descendants, running_module
from benchmarks.token_wait import figures, read_registered

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_a_quantile_is_the_nearest_rank() -> None:
    samples = [float(number) for number in random.Random(1).sample(range(1, 501), 500)]
    assert (quantile(samples, 0.5), quantile(samples, 0.99), quantile(samples, 1)) == (250, 495, 500)
    assert quantile([7.0], 0.99) == 7
    assert spread("wait", [1.0, 2.0, 3.0]) == {"wait_p50_ms": 2, "wait_p99_ms": 3}
    for samples, share in (([], 0.5), ([1.0], 0.0), ([1.0], 1.1)):
        with pytest.raises(ValueError, match="no quantile"):
            quantile(samples, share)


def test_calls_take_turns() -> None:
    order: list[str] = []
    calls: list[Callable[[], object]] = [lambda: order.append("a"), lambda: order.append("b")]
    taken_us = median_call_us(calls, rounds=3, batch=2)
    assert order == list("aabb" * 3)
    assert all(0 < taken < 1e5 for taken in taken_us)


async def test_clients_share_the_count_and_have_one_call_under_way_each() -> None:
    underway: list[int] = [0, 0, 0]
    most = 0

    def client(number: int) -> Callable[[], "asyncio.Future[int]"]:
        async def once() -> int:
            nonlocal most
            underway[number] += 1
            most = max(most, sum(underway))
            assert underway[number] == 1
            await asyncio.sleep(0)
            underway[number] -= 1
            return number

        return lambda: asyncio.ensure_future(once())

    found = await side_by_side([client(number) for number in range(3)], 20)
    assert len(found) == 20
    assert set(found) == {0, 1, 2}
    assert most == 3
    assert await side_by_side([client(0)], 2, pauses=random.Random(1), pause_up_to_s=0.001) == [0, 0]


@pytest.mark.skipif(len(cores()) < 2, reason="one core")
def test_pinning_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    free = os.sched_getaffinity(0)
    first, second = sorted(free)[:2]
    for place, core in ((SERVER_CORE, first), (LOAD_CORE, second)):
        seen: set[int] = set()
        with suppress(KeyError), pinned({0: place}):
            seen = os.sched_getaffinity(0)
            raise KeyError
        assert seen == {core}
        assert os.sched_getaffinity(0) == free
    monkeypatch.setattr(machine, "cores", lambda: [first])
    with pinned({0: SERVER_CORE}):
        assert os.sched_getaffinity(0) == free


@linux
def test_cpu_time_is_counted_while_the_meter_is_entered() -> None:
    meter = CpuMeter({"me": os.getpid(), "nobody": None})
    for _ in range(2):
        before = cpu_us(os.getpid())
        with meter:
            while (cpu_us(os.getpid()) or 0) - (before or 0) < 50_000:
                sum(range(1000))
    found = meter.figures(10, "request")
    assert found.keys() == {"me_cpu_us_per_request"}
    assert 10_000 <= found["me_cpu_us_per_request"] < 100_000


@linux
async def test_descendants_and_the_module_that_one_runs() -> None:
    program = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'timeit', '-n1', 'input()'])"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(10):
            while running_module(descendants(os.getpid()), "timeit") is None:  # noqa: ASYNC110 - /proc tells nobody
                await asyncio.sleep(0.01)
        found = descendants(os.getpid())
        grandchild = running_module(found, "timeit")
        assert grandchild not in (None, child.pid)
        assert child.pid in found
        assert running_module(found, "benchmarks.nowhere") is None
    finally:
        await child.communicate(b"\n" * 10)
    assert cpu_us(child.pid) is None


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncGenerator[tuple[str, list[bytes]]]:
    """A server that answers each request on its one connection with the next of these, and hangs up after the last."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            heard.append(head + await reader.readexactly(length))
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/graphql", heard


async def test_a_connection_is_kept_for_the_next_request() -> None:
    answers = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx: y\r\n\r\nyes",
        b"HTTP/1.1 200 OK\r\nContent-Length:0\r\n\r\n",
    ]
    async with answering(*answers) as (url, heard), connected(url) as connection:
        assert await connection.post(b"{}") == b"yes"
        assert await connection.post(b"[1]") == b""
        with pytest.raises(BrokenRunError, match="closed a connection"):
            await connection.post(b"{}")
    assert heard[0].startswith(b"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1:")
    assert heard[1].endswith(b"\r\n\r\n[1]")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\noops", "answered 500: b'oops'"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "without Content-Length"),
    ],
)
async def test_other_answers_break_the_run(answer: bytes, told: str) -> None:
    async with answering(answer) as (url, _), connected(url) as connection:
        with pytest.raises(BrokenRunError, match=told):
            await connection.post(b"{}")


def registration(customer: object, *, satisfied: bool) -> dict[str, object]:
    result = {"__typename": "RegisterCustomerAccepted", "customer": customer}
    consistency = {"satisfied": satisfied, "waitedMs": 7.5}
    return {"data": {"registerCustomer": result}, "extensions": {"consistency": consistency}}


def test_a_satisfied_answer_that_shows_something_older_is_a_lie() -> None:
    cases = [
        ({"name": "Ada 1"}, True, False),
        (None, True, True),
        ({"name": "Ada 0"}, True, True),
        (None, False, False),
    ]
    for customer, satisfied, is_lie in cases:
        found = read_registered("Ada 1", registration(customer, satisfied=satisfied), 9.0)
        assert found == (9.0, 7.5, satisfied, is_lie)
    for refused in (
        {"data": {"registerCustomer": {"__typename": "CommandRefused"}}},
        {"data": None, "errors": [{"message": "no"}]},
        {"errors": [{"message": "no"}]},
    ):
        with pytest.raises(BrokenRunError, match="was answered with"):
            read_registered("Ada 1", refused, 9.0)


def test_the_ratio_is_of_the_p99s() -> None:
    mutations = [read_registered("a", registration({"name": "a"}, satisfied=True), 20.0)] * 3
    found = figures("alone", mutations, [1.0, 2.0, 3.0])
    assert found["alone_p99_ratio"] == 2.5
    assert found["alone_request_p99_ms"] == 20
    assert found["alone_produce_consume_p50_ms"] == 2


@linux
def test_waiting_for_a_core_that_another_process_has_is_counted() -> None:
    before = core_wait_us(os.getpid())
    if before is None:
        pytest.skip("this kernel does not count it")
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            with pinned({0: SERVER_CORE, busy.pid: SERVER_CORE}):
                deadline_s = time.monotonic() + 10
                while (core_wait_us(os.getpid()) or 0) < before + 5_000:
                    assert time.monotonic() < deadline_s
        finally:
            busy.kill()
    assert core_wait_us(busy.pid) is None
