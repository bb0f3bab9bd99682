"""The connection that all callers share: whose answer is whose, what ends it, and what does not."""

import asyncio
import contextlib
import os
import random
import signal
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from redis import exceptions
from redis.asyncio import ConnectionPool, Redis

from gateway.dev.servers import EmbeddedValkey
from projections.store import pipe
from projections.store.connection import Connection
from tests.servers.relay import certificate, relayed
from tests.servers.scripted import scripted

KEYS = 500
WITHIN_S = 20.0

Scenario = Callable[[], Awaitable[None]]


async def one(connection: Connection, *words: Any) -> Any:
    """The reply to one command; a refusal is raised."""
    [reply] = await connection.submit([words])
    if isinstance(reply, Exception):
        raise reply
    return reply


@contextlib.asynccontextmanager
async def connected(
    url: str, *, timeout_s: float = 10.0, connect_timeout_s: float = 5.0, **settings: Any
) -> AsyncIterator[Connection]:
    """A connection as a link makes it."""
    pool = ConnectionPool.from_url(url, protocol=2, **settings)
    connection = Connection(pool.make_connection, connect_timeout_s=connect_timeout_s, timeout_s=timeout_s)
    try:
        async with asyncio.timeout(WITHIN_S * 3):
            yield connection
    finally:
        await connection.close()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    """Runs a scenario on the plain loop and on uvloop."""

    def on_loop(scenario: Scenario) -> None:
        async def whole() -> None:
            await scenario()

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(whole())

    return on_loop


def test_ten_thousand_random_cancellations_mix_up_nobody(
    run: Callable[[Scenario], None], valkey: EmbeddedValkey, unique: str
) -> None:
    chosen = random.Random(7)
    cancelled = 0

    async def ask(connection: Connection) -> None:
        nonlocal cancelled
        wanted = chosen.sample(range(KEYS), chosen.randrange(1, 5))
        commands: list[tuple[str, ...]] = [("GET", f"{unique}:{n}") for n in wanted]
        if chosen.random() < 0.5:
            commands = [("MGET", *(words[1] for words in commands))]
        answer = connection.submit(commands)
        patience = chosen.choice((0, 0, 1, 2, 3, 5, 8, None))
        for _ in range(patience or 0):
            await asyncio.sleep(0)
        if patience is not None and answer.cancel():
            cancelled += 1
            return
        replies = await answer
        found = replies[0] if isinstance(replies[0], list) else replies
        assert found == [b"%d:" % n + b"x" * (n * 7) for n in wanted]

    async def scenario() -> None:
        async with connected(valkey.url) as connection:
            for n in range(KEYS):
                await one(connection, "SET", f"{unique}:{n}", b"%d:" % n + b"x" * (n * 7))
            name = await one(connection, "CLIENT", "ID")
            asked = 0
            while cancelled < 10_000:
                await asyncio.gather(*(ask(connection) for _ in range(64)))
                asked += 64
            assert asked > cancelled + 1000, "many were answered, too"
            assert await one(connection, "CLIENT", "ID") == name, "nobody's leaving ended the connection"

    run(scenario)


def test_what_is_submitted_in_one_tick_leaves_together(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        async with scripted() as server, connected(server.url, driver_info=None) as connection:
            answers = [connection.submit([("GET", f"{n}"), ("GET", "b")]) for n in range(100)]
            await server.until_commands(200)
            assert len(server.pieces) == 1
            server.say(b"".join(b":%d\r\n" % n for n in range(200)))
            assert await asyncio.gather(*answers) == [[2 * n, 2 * n + 1] for n in range(100)]

    run(scenario)


def test_twenty_megabytes_arrive_whole_while_the_loop_goes_on(
    run: Callable[[Scenario], None], valkey: EmbeddedValkey, unique: str
) -> None:
    value = random.Random(1).randbytes(20_000_000)

    async def scenario() -> None:
        async with connected(valkey.url) as connection:
            await one(connection, "SET", unique, value)
            large, small = connection.submit([("GET", unique)]), connection.submit([("ECHO", "after")])
            turns = 0
            while not large.done():
                await asyncio.sleep(0)
                turns += 1
            assert (await large, await small) == ([value], [b"after"])
            assert turns >= 10
            await one(connection, "DEL", unique)

    run(scenario)


def test_tls_is_redis_py_s_and_is_checked(
    run: Callable[[Scenario], None], valkey: EmbeddedValkey, unique: str, tmp_path: Path
) -> None:
    made = certificate(tmp_path)
    if made is None:
        pytest.skip("no openssl here to make a certificate with")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*made)

    async def scenario() -> None:
        async with relayed(valkey.port, context) as relay:
            async with connected(f"rediss://127.0.0.1:{relay.port}/3?ssl_ca_certs={made[0]}") as connection:
                value = b"x" * 3_000_000
                answers = [connection.submit([("SET", unique, value), ("GET", unique), ("DEL", unique)])]
                answers += [connection.submit([("ECHO", f"{n}")]) for n in range(50)]
                first, *rest = await asyncio.gather(*answers)
                assert first == [b"OK", value, 1]
                assert rest == [[b"%d" % n] for n in range(50)]
                assert b" db=3 " in await one(connection, "CLIENT", "INFO")
            async with connected(f"rediss://127.0.0.1:{relay.port}") as connection:
                with pytest.raises(exceptions.ConnectionError, match="certificate"):
                    await one(connection, "PING")

    run(scenario)


async def test_a_url_s_user_database_and_name_hold(valkey: EmbeddedValkey, unique: str) -> None:
    async with Redis.from_url(valkey.url) as admin:
        await admin.execute_command("ACL", "SETUSER", unique, "on", ">secret", "+@all", "~*")  # type: ignore[no-untyped-call]
        there = valkey.url.removeprefix("redis://")
        async with connected(f"redis://{unique}:secret@{there}/5?client_name=headrace") as connection:
            told = await one(connection, "CLIENT", "INFO")
            assert {b"user=" + unique.encode(), b"db=5", b"name=headrace", b"resp=2"} <= set(told.split())
            await admin.execute_command("ACL", "DELUSER", unique)  # type: ignore[no-untyped-call]
            with pytest.raises(exceptions.ConnectionError):
                await one(connection, "PING")
            for _ in range(2):
                with pytest.raises(exceptions.AuthenticationError):
                    await one(connection, "PING")


async def test_an_answer_that_is_cut_off_is_nobody_s(valkey: EmbeddedValkey, unique: str) -> None:
    async with relayed(valkey.port) as relay, connected(f"redis://127.0.0.1:{relay.port}") as connection:
        await one(connection, "SET", unique, b"x" * 10_000)
        relay.cut_after = 7_000
        answers = [connection.submit([("GET", unique), ("INCR", f"{unique}:count")]) for _ in range(3)]
        for answer in answers:
            with pytest.raises(exceptions.ConnectionError):
                await answer
        relay.cut_after = None
        assert await one(connection, "GET", unique) == b"x" * 10_000
        assert await one(connection, "GET", f"{unique}:count") == b"3", "sent once, and not again when it was lost"


async def test_a_killed_server_is_told_to_all_and_found_again(start_valkey: Callable[[], EmbeddedValkey]) -> None:
    server = start_valkey()
    async with connected(server.url, timeout_s=5.0) as connection:
        await one(connection, "SET", "large", b"x" * 20_000_000)
        answers = [connection.submit([("GET", "large")]) for _ in range(5)]
        await answers[0]
        server.kill()
        ended = await asyncio.gather(*answers, return_exceptions=True)
        assert isinstance(ended[-1], exceptions.ConnectionError)
        with pytest.raises(exceptions.ConnectionError):
            await one(connection, "PING")
        server.start()
        assert await one(connection, "GET", "large") is None


async def test_a_hung_server_is_told_within_the_bound(start_valkey: Callable[[], EmbeddedValkey]) -> None:
    server = start_valkey()
    async with connected(server.url, timeout_s=0.3, connect_timeout_s=0.3) as connection:
        await one(connection, "SET", "a", "1")
        assert server.pid
        os.kill(server.pid, signal.SIGSTOP)
        try:
            began_s = time.monotonic()
            answers = [connection.submit([("INCR", "a")]) for _ in range(5)]
            for answer in answers:
                with pytest.raises(exceptions.TimeoutError, match=r"no answer within 0\.3 s"):
                    await answer
            with pytest.raises(exceptions.TimeoutError, match=r"no connection within 0\.3 s"):
                await one(connection, "INCR", "a")
            assert time.monotonic() - began_s < 2.0
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert await _once_there(connection, "ECHO", "b") == b"b"
        assert await one(connection, "GET", "a") == b"6", "what had left was done, once"


async def _once_there(connection: Connection, *words: Any) -> Any:
    while True:
        with contextlib.suppress(exceptions.TimeoutError):
            return await one(connection, *words)


def test_an_answer_that_came_while_this_process_stood_still_counts(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        async with scripted() as server, connected(server.url, driver_info=None, timeout_s=0.2) as connection:
            answer = connection.submit([("GET", "a")])
            await server.until_commands(1)
            value = b"x" * 300_000  # it takes the loop some turns to read it
            server.say(b"$%d\r\n%s\r\n" % (len(value), value))
            time.sleep(0.5)  # noqa: ASYNC251 - the loop stands still, as in a process that was stopped
            assert await answer == [value]
            assert server.connections == 1

    run(scenario)


async def test_what_is_given_up_before_it_left_is_not_sent() -> None:
    async with scripted() as server, connected(server.url, driver_info=None) as connection:
        for number in range(3):
            given_up, kept = connection.submit([("INCR", "a")]), connection.submit([("GET", "b")])
            given_up.cancel()
            await server.until_commands(number + 1)
            server.say(b":%d\r\n" % number)
            assert await kept == [number]
        assert b"INCR" not in b"".join(server.pieces)


async def test_what_is_above_the_bound_waits_for_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe, "MAX_COMMANDS", 4)
    async with scripted() as server, connected(server.url, driver_info=None, connect_timeout_s=0.3) as connection:
        answers = [connection.submit([("GET", f"{n}"), ("GET", f"{n}")]) for n in range(6)]
        await server.until_commands(4)
        server.say(b":0\r\n:0\r\n")
        await server.until_commands(6)
        assert await answers[0] == [0, 0]
        answers[3].cancel()
        with pytest.raises(exceptions.TimeoutError, match="too much is on its way"):
            await answers[5]
        server.say(b":1\r\n:1\r\n:2\r\n:2\r\n")
        assert [await answer for answer in answers[1:3]] == [[1, 1], [2, 2]]
        late = connection.submit([("GET", "late")])
        await server.until_commands(7)
        server.say(b":7\r\n")
        assert await late == [7]
        assert server.commands == 7, "neither what was cancelled nor what was refused has left"


async def test_bytes_are_bounded_and_what_is_larger_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe, "MAX_BYTES", 1000)
    async with scripted() as server, connected(server.url, driver_info=None) as connection:
        answers = [connection.submit([("SET", "a", "x" * size)]) for size in (600, 600, 5000, 10)]
        for number in range(3):
            await server.until_commands(number + 1)
            assert server.commands == number + 1
            server.say(b":%d\r\n" % number)
            assert await answers[number] == [number]
        await server.until_commands(4)
        server.say(b":3\r\n")
        assert await answers[3] == [3]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"-NOAUTH Authentication required.\r\n:2\r\n", exceptions.AuthenticationError),
        (b"-LOADING the server loads\r\n:2\r\n", exceptions.BusyLoadingError),
        (b"?what\r\n", exceptions.InvalidResponse),
    ],
)
async def test_what_concerns_the_connection_ends_it(said: bytes, kind: type[Exception]) -> None:
    async with scripted() as server, connected(server.url, driver_info=None) as connection:
        answers = [connection.submit([("GET", "a")]), connection.submit([("GET", "b")])]
        await server.until_commands(2)
        server.say(said)
        for answer in answers:
            with pytest.raises(kind):
                await answer
        again = connection.submit([("GET", "c")])
        await server.until_commands(3)
        assert server.connections == 2
        server.say(b"-ERR a refusal\r\n")
        [refusal] = await again
        assert isinstance(refusal, exceptions.ResponseError)


async def test_what_nobody_asked_for_ends_the_connection() -> None:
    async with scripted() as server, connected(server.url, driver_info=None) as connection:
        answer = connection.submit([("GET", "a")])
        await server.until_commands(1)
        server.say(b":1\r\n:2\r\n")
        assert await answer == [1]
        await server.until_gone()
        answer = connection.submit([("GET", "b")])
        await server.until_commands(2)
        server.say(b":3\r\n")
        assert await answer == [3]


async def test_closing_tells_those_who_wait_and_may_be_done_twice() -> None:
    async with scripted() as server, connected(server.url, driver_info=None) as connection:
        sent = connection.submit([("GET", "a")])
        await server.until_commands(1)
        unsent = connection.submit([("GET", "b")])
        await connection.close()
        for answer in (sent, unsent):
            with pytest.raises(exceptions.ConnectionError, match="closed"):
                await answer
        unconnected = connection.submit([("GET", "c")])
        await asyncio.sleep(0)
        await connection.close()
        with pytest.raises(exceptions.ConnectionError, match="closed"):
            await unconnected
        await connection.close()
        assert await connection.submit([]) == []
