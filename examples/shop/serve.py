"""`python -m examples.shop serve`: some or all services of the shop in one process, each on its own socket.

Prints one line per service when it accepts requests (`customers http://127.0.0.1:41234`), then `shop ready`. SIGTERM
and SIGINT stop it, with exit code 0, within 5 s.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from examples.shop.service.declare import Context
from examples.shop.service.errors import SettingsError
from examples.shop.service.kafka import KafkaPublisher, KafkaSource
from examples.shop.service.serve import ServiceProcess
from examples.shop.settings import Settings

_BACKLOG = 1_024


async def serve(settings: Settings, contexts: Sequence[Context[Any]], tell: Callable[[str], None]) -> None:
    """Runs the services until a signal, or the end of standard input, stops them. Raises `SettingsError`."""
    services = _processes(settings, contexts)
    stop = asyncio.Event()
    _stop_on_signals(stop)
    if settings.exit_on_stdin_eof:
        _stop_on_stdin_eof(stop)
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(service.run(stop)) for service in services]
        for service, task in zip(services, running, strict=True):
            if not await _is_ready(service, task):
                return
            tell(f"{service.context.name} {service.url}")
        tell("shop ready")


def _processes(settings: Settings, contexts: Sequence[Context[Any]]) -> list[ServiceProcess]:
    sockets = _sockets(settings, contexts)
    return [
        ServiceProcess(
            context,
            settings.databases[context.name],
            sockets[context.name],
            KafkaPublisher(settings.kafka_bootstrap, context.topic, settings.partitions),
            KafkaSource(settings.kafka_bootstrap, settings.partitions),
        )
        for context in contexts
    ]


def _sockets(settings: Settings, contexts: Sequence[Context[Any]]) -> dict[str, socket.socket]:
    """Bound sockets, all or none. Raises `SettingsError` that names every address that cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sockets: dict[str, socket.socket] = {}
    problems: list[str] = []
    for context in contexts:
        port = settings.ports[context.name]
        try:
            sockets[context.name] = socket.create_server((settings.host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            problems.append(f"{context.name} cannot listen on {settings.host}:{port}: {error.strerror}")
    if problems:
        for bound in sockets.values():
            bound.close()
        raise SettingsError(problems)
    return sockets


async def _is_ready(service: ServiceProcess, task: asyncio.Task[None]) -> bool:
    """Waits until the service accepts requests; False when it ended before that."""
    ready = asyncio.ensure_future(service.ready.wait())
    try:
        await asyncio.wait([ready, task], return_when=asyncio.FIRST_COMPLETED)
        return ready.done()
    finally:
        ready.cancel()


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)


def _stop_on_stdin_eof(stop: asyncio.Event) -> None:
    """A thread, because standard input may be anything, also what an event loop cannot watch."""
    loop = asyncio.get_running_loop()

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(sys.stdin.fileno(), 4_096):
                pass
        with contextlib.suppress(RuntimeError):  # the loop is gone already
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, name="shop-stdin", daemon=True).start()
