"""A PostgreSQL of the tests' own, where the machine has one installed: started once per run, one schema per test."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from gateway.dev.ports import free_port
from tests.until import until

_INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def installed() -> Path | None:
    """The folder of PostgreSQL's programs, None where there are none."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    return _INSTALLED[-1].parent if _INSTALLED else None


@contextmanager
def running(programs: Path) -> Iterator[str]:
    """The URL of a server that keeps nothing; it refuses to run as root, so then it runs as nobody."""
    folder = Path(tempfile.mkdtemp(prefix="shop-postgres-"))
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        owner = pwd.getpwnam(user)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    port = free_port()
    data = folder / "data"
    initdb = [
        str(programs / "initdb"),
        "-D",
        str(data),
        "-U",
        "shop",
        "-A",
        "trust",
        "--no-sync",
        "-E",
        "UTF8",
        "--locale=C",
    ]
    try:
        subprocess.run(initdb, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)
        options = ["-k", "", "-h", "127.0.0.1", "-p", str(port), "-c", "fsync=off"]
        server = subprocess.Popen(
            [str(programs / "postgres"), "-D", str(data), *options], user=user, cwd=folder, stderr=subprocess.DEVNULL
        )
        try:
            ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
            until(lambda: subprocess.run(ready, check=False).returncode == 0, what="PostgreSQL")
            yield f"postgresql+psycopg://shop@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGQUIT)  # at once; there is nothing to keep
            server.wait(10)
    finally:
        shutil.rmtree(folder)


def new_schema(server_url: str) -> str:
    """The URL of a fresh schema on the server: as good as a database of one's own, and ten times as fast to make."""
    name = f"t{uuid.uuid4().hex}"
    engine = create_engine(server_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    engine.dispose()
    url = make_url(server_url).update_query_dict({"options": f"-csearch_path={name}"})
    return url.render_as_string(hide_password=False)
