"""The supervisor: order, readiness, the end of one is the end of all, and nothing that outlives it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import pytest

from gateway.dev.errors import PartEndedError, PartNotReadyError, StrangerError
from gateway.dev.part import Launch, Part
from gateway.dev.supervisor import Supervisor, supervise
from gateway.dev.warden import Warden
from tests.dev.cast import DIES_WHEN_TOLD, GOOD, STUBBORN, player
from tests.until import is_alive, until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


@pytest.fixture
def warden(folder: Path) -> Iterator[Warden]:
    warden = Warden(folder)
    yield warden
    warden.close()


async def play(
    warden: Warden, story: Callable[[Supervisor], Coroutine[None, None, None]]
) -> tuple[list[str], list[str]]:
    """Lines said and lines logged, of a run that is asked to stop when the story is told."""
    said: list[str] = []
    logged: list[str] = []

    async def told(supervisor: Supervisor) -> None:
        await story(supervisor)
        os.kill(os.getpid(), signal.SIGTERM)

    async with asyncio.timeout(20):
        await supervise(told, warden, said.append, logged.append)
    return said, logged


async def test_parts_come_up_in_order_and_go_in_reverse(warden: Warden, tmp_path: Path) -> None:
    notes = tmp_path / "notes"

    async def story(supervisor: Supervisor) -> None:
        for name in ("a", "b", "c"):
            running = await supervisor.start(player(name, GOOD, notes))
            assert running.addresses == {name: f"http://127.0.0.1/{name}"}

    said, logged = await play(warden, story)
    assert said == ["a http://127.0.0.1/a", "b http://127.0.0.1/b", "c http://127.0.0.1/c"]
    assert "a | ready" in logged
    assert notes.read_text().split() == ["c", "b", "a"]


async def test_a_part_without_address_is_shown_by_its_name(warden: Warden) -> None:
    async def story(supervisor: Supervisor) -> None:
        await supervisor.start(player("p", STUBBORN, stop_within_s=0.1))

    said, logged = await play(warden, story)
    assert said == ["p"]
    assert logged[-1] == "p did not end within 0 s and is killed"


async def test_a_part_that_ends_ends_all_and_is_named(warden: Warden, tmp_path: Path) -> None:
    pids: list[int] = []

    async def story(supervisor: Supervisor) -> None:
        good = await supervisor.start(player("good", GOOD, tmp_path / "notes"))
        bad = await supervisor.start(player("bad", DIES_WHEN_TOLD, tmp_path / "now"))
        pids.extend([good.pid, bad.pid])
        (tmp_path / "now").touch()

    with pytest.raises(PartEndedError, match="bad ended with code 7; its last lines:") as caught:
        async with asyncio.timeout(20):
            await supervise(story, warden, lambda _: None, lambda _: None)
    assert caught.value.lines == ("ready", "the last straw")
    assert not any(map(is_alive, pids))
    assert (tmp_path / "notes").read_text().split() == ["good"]


async def test_the_end_of_a_part_is_blamed_for_what_it_brings_about(warden: Warden, tmp_path: Path) -> None:
    async def story(supervisor: Supervisor) -> None:
        bad = await supervisor.start(player("bad", DIES_WHEN_TOLD, tmp_path / "now"))
        os.kill(bad.pid, signal.SIGKILL)
        raise ConnectionRefusedError("the part did not answer")

    with pytest.raises(PartEndedError, match="bad was ended by SIGKILL"):
        await supervise(story, warden, lambda _: None, lambda _: None)


async def test_an_error_of_the_story_is_raised_as_it_is(warden: Warden, tmp_path: Path) -> None:
    async def story(supervisor: Supervisor) -> None:
        await supervisor.start(player("good", GOOD, tmp_path / "notes"))
        raise LookupError("of the story")

    with pytest.raises(LookupError, match="of the story"):
        await supervise(story, warden, lambda _: None, lambda _: None)
    assert (tmp_path / "notes").read_text().split() == ["good"]


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("print('no such setting'); raise SystemExit(2)", "odd ended with code 2 before it was ready"),
        ("import signal; print('no such setting', flush=True); signal.pause()", "odd was not ready within 1 s"),
    ],
)
async def test_a_part_that_does_not_come_up_is_reported(warden: Warden, program: str, says: str) -> None:
    async def story(supervisor: Supervisor) -> None:
        await supervisor.start(player("odd", program, ready_within_s=1.0))

    with pytest.raises(PartNotReadyError, match=rf"{says}; its last lines:\n  odd \| no such setting"):
        await supervise(story, warden, lambda _: None, lambda _: None)


async def test_a_launch_is_tried_again_where_a_stranger_answers(warden: Warden) -> None:
    launches: list[int] = []

    def launch() -> Launch:
        launches.append(len(launches))

        def answers(_: int) -> bool:
            if len(launches) == 1:
                raise StrangerError("not ours")
            return True

        return Launch(
            (sys.executable, "-c", STUBBORN), dict(os.environ), answers=answers, addresses={"p": str(launches)}
        )

    async def story(supervisor: Supervisor) -> None:
        await supervisor.start(Part("p", launch, attempts=2, stop_within_s=0.1))

    said, _ = await play(warden, story)
    assert said == ["p [0, 1]"]


async def test_long_and_broken_output_does_no_harm(warden: Warden) -> None:
    program = (
        "import sys; sys.stdout.buffer.write(b'x' * 300_000 + b'\\xff\\n' + b'y' * 70_000); print(); print('ready')"
    )

    async def story(supervisor: Supervisor) -> None:
        await supervisor.start(player("loud", program))

    with pytest.raises(PartEndedError) as caught:
        async with asyncio.timeout(20):
            await supervise(story, warden, lambda _: None, lambda _: None)
    assert [len(line) for line in caught.value.lines] == [2_000, 2_000, 5]


async def test_a_second_signal_kills_what_has_not_stopped_yet(warden: Warden) -> None:
    async def story(supervisor: Supervisor) -> None:
        await supervisor.start(player("p", STUBBORN, stop_within_s=30.0))
        asyncio.get_running_loop().call_later(0.2, os.kill, os.getpid(), signal.SIGTERM)

    started = time.monotonic()
    await play(warden, story)
    assert time.monotonic() - started < 10


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Iterator[Callable[..., tuple["subprocess.Popen[str]", list[int]]]]:
    """Starts a supervisor with the named programs as a process; gives it with the ids of its processes once all is up."""
    started: list[subprocess.Popen[str]] = []

    def start(*programs: str) -> tuple["subprocess.Popen[str]", list[int]]:
        argv = [sys.executable, "-m", "tests.dev.cast", str(folder), str(tmp_path / "notes"), *programs]
        process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        started.append(process)
        pids: list[int] = []
        assert process.stdout
        for line in process.stdout:
            if line.startswith("pid "):
                pids.append(int(line.split()[1]))
            if line == "up\n":
                break
        assert len(pids) == len(programs) + 1
        return process, pids

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_all(
    run: Callable[..., tuple["subprocess.Popen[str]", list[int]]], folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process, pids = run("GOOD", "GOOD")
    process.send_signal(number)
    assert process.wait(10) == 0
    assert not any(map(is_alive, pids))
    assert not folder.exists()
    assert (tmp_path / "notes").read_text().split() == ["p1", "p0"]


def test_nothing_outlives_a_supervisor_that_is_killed(
    run: Callable[..., tuple["subprocess.Popen[str]", list[int]]], folder: Path, tmp_path: Path
) -> None:
    process, pids = run("GOOD", "STUBBORN")
    process.kill()
    until(lambda: not any(map(is_alive, pids)), what="the end of every process")
    assert not folder.exists()
    assert not (tmp_path / "notes").exists()


def test_a_killed_part_ends_the_run_with_its_name(
    run: Callable[..., tuple["subprocess.Popen[str]", list[int]]], folder: Path
) -> None:
    process, pids = run("GOOD", "STUBBORN")
    os.kill(pids[1], signal.SIGKILL)
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "p0 was ended by SIGKILL; its last lines:\n  p0 | p0 http://127.0.0.1/p0\n  p0 | ready\n" in output
    assert not any(map(is_alive, pids))
    assert not folder.exists()
