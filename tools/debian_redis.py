"""Redis itself, in the version of a Debian release, beside whatever the machine has: nothing is installed, nobody needs to be root.

    python -m tools.debian_redis bookworm     Redis 7.0: gets the packages (once), prints the command that starts the server
    python -m tools.debian_redis trixie       Redis 8.0, with its own C library, since an older machine has none for it

Needs Debian's apt and dpkg, and takes the packages from where the machine takes its own. They are kept in the environment's folder.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from gateway.dev.errors import DevError, ServerMissingError

RELEASES: Final = {"bookworm": 7, "trixie": 8}
"""The release that has each major version of Redis."""
KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
STEP_WITHIN_S: Final = 120.0


def command(release: str) -> tuple[str, ...]:
    """What starts a release's server, fetched if need be. Raises ServerMissingError."""
    root = fetched(release)
    folders = [
        folder for place in ("lib", "usr/lib") for folder in root.glob(f"{place}/*-linux-gnu*") if folder.is_dir()
    ]
    loaders = [loader for folder in folders for loader in folder.glob("ld-linux*")]
    if not loaders:
        raise ServerMissingError(f"{release}: no C library among its packages in {root}")
    return (str(loaders[0]), "--library-path", ":".join(map(str, folders)), str(root / "usr/bin/redis-server"))


def is_fetched(release: str) -> bool:
    """Whether the packages are here already."""
    return _folder(release).is_dir()


def fetched(release: str) -> Path:
    """The folder with the packages' files, filled by apt if need be. Raises ServerMissingError."""
    folder = _folder(release)
    if folder.is_dir():
        return folder
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise ServerMissingError("Debian's packages need apt-get and dpkg")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        for package in _packages(release, Path(name)):
            _run(["dpkg", "-x", str(package), f"{name}/root"])
        with contextlib.suppress(OSError):  # somebody else was quicker
            (Path(name) / "root").rename(folder)
    return folder


def _folder(release: str) -> Path:
    return Path(sys.prefix) / ".cache" / f"debian-redis-{release}"


def _packages(release: str, scratch: Path) -> list[Path]:
    """Downloads the server and all that it needs, as on a machine where nothing is installed."""
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (scratch / folder).mkdir(parents=True)
    sources = scratch / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {_archive()} {release} main\n")
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State": scratch / "state",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": scratch / "cache",
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]
    _run([*apt, "update"])
    _run([*apt, "install", "--download-only", "--no-install-recommends", "-y", "redis-server"])
    return sorted((scratch / "cache/archives").glob("*.deb"))


def _archive() -> str:
    """Where this machine takes Debian's packages from, by its own list of sources (which says no more before `apt-get update`)."""
    found = _run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]).split()
    archives = [uri for uri in found if uri.rstrip("/").endswith("/debian")]
    if not archives:
        raise ServerMissingError("this machine's list of sources names no archive of Debian")
    return archives[0]


def _run(words: list[str]) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=STEP_WITHIN_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerMissingError(f"{words[0]}: {error}") from error
    if done.returncode != 0:
        raise ServerMissingError(f"{shlex.join(words)} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def main() -> int:
    """Prints the command."""
    parser = argparse.ArgumentParser(prog="python -m tools.debian_redis", description="Redis out of a Debian release")
    parser.add_argument("release", choices=sorted(RELEASES))
    try:
        sys.stdout.write(shlex.join(command(parser.parse_args().release)) + "\n")
    except DevError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
