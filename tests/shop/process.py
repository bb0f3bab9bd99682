"""The shop as a process: started, watched line by line, stopped, and its topics read back."""

import os
import queue
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from examples.shop.service.declare import Topic
from examples.shop.service.kafka import KafkaSource
from examples.shop.service.log import Incoming

_ROOT = Path(__file__).parents[2]
_READY_WITHIN_S = 30


@dataclass
class Shop:
    """`python -m examples.shop serve` on SQLite files in `data`. Use as a context manager: it never survives one."""

    bootstrap: str
    data: Path
    services: Sequence[str] = ()
    settings: dict[str, str] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("SHOP_")}
        environ |= {"SHOP_KAFKA_BOOTSTRAP": self.bootstrap, "SHOP_DATA": str(self.data), **self.settings}
        command = [sys.executable, "-m", "examples.shop", "serve", *self.services]
        self.process = subprocess.Popen(
            command, env=environ, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()

    def until_ready(self) -> Self:
        """Reads the addresses until `shop ready`."""
        while (line := self._lines.get(timeout=_READY_WITHIN_S)) != "shop ready":
            assert line is not None, "the shop ended before it was ready"
            service, url = line.split()
            self.urls[service] = url
        return self

    def ended(self, with_signal: signal.Signals | None = None) -> int:
        """The exit code, after a signal if there is one; not later than 5 s."""
        if with_signal:
            self.process.send_signal(with_signal)
        return self.process.wait(5)

    def post(self, service: str, path: str, body: Any = None) -> Any:
        """A command that has to be accepted."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        response = httpx.post(f"{self.urls[service]}{path}", json=body or {}, headers=headers)
        assert response.status_code in (200, 201), response.text
        return response.json()

    def get(self, service: str, path: str) -> Any:
        """The owner's read."""
        return httpx.get(f"{self.urls[service]}{path}").raise_for_status().json()

    def _read(self) -> None:
        assert self.process.stdout
        with suppress(ValueError):
            for line in self.process.stdout:
                self._lines.put(line.strip())
        self._lines.put(None)


@contextmanager
def shop(bootstrap: str, data: Path, *services: str, settings: dict[str, str] | None = None) -> Iterator[Shop]:
    """A shop that is ready, and gone afterwards."""
    with Shop(bootstrap, data, services, settings or {}) as process:
        yield process.until_ready()


async def read_topic(bootstrap: str, topic: Topic) -> list[Incoming]:
    """All that is in a topic now."""
    source = KafkaSource(bootstrap, 1)
    try:
        await source.open([topic], {})
        found: list[Incoming] = []
        quiet = 0
        while quiet < 3:
            records = await source.fetch()
            found.extend(records)
            quiet = 0 if records else quiet + 1
        return found
    finally:
        await source.close()
