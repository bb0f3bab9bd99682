"""Starts parts one after the other or side by side, watches them, and stops them all in reverse order.

- Nothing outlives it: an orderly end stops every part within a bound, and a supervisor that is killed is cleaned up
  after by its warden.
- The end of any part is the end of all: `supervise` raises which one it was, with its last lines.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator

from gateway.dev.errors import PartEndedError, PartNotReadyError, StrangerError
from gateway.dev.part import Part, RunningPart
from gateway.dev.warden import Warden

Say = Callable[[str], None]
Story = Callable[["Supervisor"], Coroutine[None, None, None]]

# The end of a part is seen a little later than what it brings about (a refused connection, say).
_BLAME_WITHIN_S = 0.5


class Supervisor:
    """Owns the running parts; made by `supervise`. `start` may be awaited for several parts at the same time.

    `say` gets one line per address as a part comes up, `log` every line of a part's output.
    """

    def __init__(self, followers: asyncio.TaskGroup, warden: Warden, say: Say, log: Say) -> None:
        self._followers = followers
        self._warden = warden
        self._say = say
        self._log = log
        self._running: list[RunningPart] = []
        self._first_end: asyncio.Future[PartEndedError] = asyncio.get_running_loop().create_future()

    async def start(self, part: Part) -> RunningPart:
        """Start a part and wait until it is ready. Raises `PartNotReadyError` once its attempts are used up."""
        for left in range(part.attempts - 1, -1, -1):
            running = RunningPart(part, self._warden, self._log)
            self._running.append(running)
            self._followers.create_task(running.follow())
            try:
                await running.until_ready()
            except (PartNotReadyError, StrangerError):
                await self._stop(running)
                if not left:
                    raise
            else:
                self._followers.create_task(self._see_end(running))
                for name, address in (running.addresses or {part.name: ""}).items():
                    self._say(f"{name} {address}".rstrip())
                return running
        raise AssertionError("the last attempt returns or raises")

    async def raise_first_end(self) -> None:
        """Never returns: raises `PartEndedError` when a part ends that was not asked to."""
        raise await asyncio.shield(self._first_end)

    async def stop(self) -> None:
        """Stop what runs, the last started first."""
        while self._running:
            await self._stop(self._running[-1])

    def kill(self) -> None:
        """Kill what runs; a `stop` that is under way then has nothing to wait for."""
        for running in self._running:
            running.kill()

    async def _stop(self, running: RunningPart) -> None:
        await running.stop()
        self._running.remove(running)

    async def _see_end(self, running: RunningPart) -> None:
        end = await running.until_ended()
        if not running.stopping and not self._first_end.done():
            self._first_end.set_result(end)


async def supervise(story: Story, warden: Warden, say: Say, log: Say) -> None:
    """Play `story`, which starts parts, then keep watch until SIGINT, SIGTERM or SIGHUP; all parts have ended on return.

    A second signal kills what has not stopped yet. Raises `DevError` of the story, `PartEndedError` for a part that
    ended by itself, and whatever else the story raised.
    """
    failure: Exception | None = None
    async with asyncio.TaskGroup() as followers:
        supervisor = Supervisor(followers, warden, say, log)
        asked = asyncio.Event()
        with _signals(lambda: supervisor.kill() if asked.is_set() else asked.set()):
            try:
                await _play(story, supervisor, asked)
            except Exception as error:  # noqa: BLE001 - raised again below, once every part has ended
                failure = await _blame(supervisor, error)
            finally:
                await supervisor.stop()
    if failure:
        raise failure


async def _play(story: Story, supervisor: Supervisor, asked: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(supervisor.raise_first_end())
        telling = group.create_task(story(supervisor))
        await asked.wait()
        watching.cancel()
        telling.cancel()


async def _blame(supervisor: Supervisor, error: Exception) -> Exception:
    """What to raise for `error`: the end of a part where there was one, and the error itself out of a group of one."""
    try:
        async with asyncio.timeout(_BLAME_WITHIN_S):
            await supervisor.raise_first_end()
    except PartEndedError as end:
        return end
    except TimeoutError:
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
    return error


@contextlib.contextmanager
def _signals(handle: Callable[[], object]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, handle)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
