"""The servers that the function is held against: the run's Valkey, and one under the locale of a natural language."""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.dev.servers import EmbeddedValkey, valkey_binary

LOCALE = "en_US.UTF-8"


def command() -> tuple[str, ...]:
    """What starts the servers: nothing said, or what TEST_REDIS says (`make test-redis`)."""
    return tuple(shlex.split(os.environ.get("TEST_REDIS", "")))


@pytest.fixture(scope="session")
def plain_valkey() -> Iterator[EmbeddedValkey]:
    """A Valkey for these tests alone: they empty it, and read all that is there."""
    with EmbeddedValkey(command=command()) as server:
        yield server


@pytest.fixture(scope="session")
def localized_valkey() -> Iterator[EmbeddedValkey]:
    """A Valkey whose Lua compares strings as a dictionary does: `'a' < 'B'`."""
    environment = [f"LC_ALL={LOCALE}"]
    if LOCALE.lower().replace("-", "") not in _installed():
        environment.append(f"LOCPATH={_compiled(Path(sys.prefix) / '.cache' / 'locales')}")
    with EmbeddedValkey(command=("env", *environment, *(command() or (valkey_binary(),)))) as server:
        yield server


def _installed() -> str:
    found = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False)
    return found.stdout.lower().replace("-", "")


def _compiled(folder: Path) -> Path:
    """Compiles the locale into the folder, once; skips where that cannot be done."""
    if (folder / LOCALE).is_dir():
        return folder
    localedef = shutil.which("localedef")
    if localedef is None:
        pytest.skip(f"{LOCALE} is not installed, and there is no localedef to make it")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        scratch = Path(name) / LOCALE
        words = [localedef, "-i", "en_US", "-f", "UTF-8", str(scratch)]
        made = subprocess.run(words, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            pytest.skip(f"{LOCALE} is not installed, and localedef cannot make it: {made.stderr.strip()}")
        with contextlib.suppress(OSError):  # somebody else was quicker
            scratch.rename(folder / LOCALE)
    return folder
