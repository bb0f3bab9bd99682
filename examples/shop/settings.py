"""The shop's settings: environment variables under `SHOP_`, read once, every problem reported together.

| name | meaning |
|---|---|
| `SHOP_KAFKA_BOOTSTRAP` | the broker, `host:port[,host:port...]` |
| `SHOP_DATA` | a directory for SQLite files, one per service; or |
| `SHOP_DATABASES` | SQLAlchemy URLs, `customers=postgresql+psycopg://...,orders=...` (also `SHOP_DATABASES_FILE`) |
| `SHOP_HOST` | the address to listen on, default 127.0.0.1 |
| `SHOP_PORTS` | `customers=8101,...`; a free port for every service that is not named |
| `SHOP_PARTITIONS` | partitions of a topic that has to be made, default 3 |
| `SHOP_EXIT_ON_STDIN_EOF` | `1`: stop when standard input ends, for a parent that passes a pipe |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from examples.shop.service.errors import SettingsError

SERVICES = ("customers", "catalog", "orders", "payments", "shipping")
PREFIX = "SHOP_"
_NAMES = frozenset(
    f"{PREFIX}{name}"
    for name in (
        "KAFKA_BOOTSTRAP",
        "DATA",
        "DATABASES",
        "DATABASES_FILE",
        "HOST",
        "PORTS",
        "PARTITIONS",
        "EXIT_ON_STDIN_EOF",
    )
)
_DRIVERS = ("sqlite", "postgresql+psycopg")
_MOST_PARTITIONS = 1_000


@dataclass(frozen=True)
class Settings:
    """Everything that the shop is told from outside. `ports` has 0 for "any free one"."""

    kafka_bootstrap: str
    databases: Mapping[str, str]
    host: str
    ports: Mapping[str, int]
    partitions: int
    exit_on_stdin_eof: bool


def read_settings(environ: Mapping[str, str], services: Sequence[str]) -> Settings:
    """The settings for these services (context names). Raises `SettingsError` with all that is wrong."""
    problems = [
        f"{name} is not a setting of the shop; there are {', '.join(sorted(_NAMES))}"
        for name in sorted(environ)
        if name.startswith(PREFIX) and name not in _NAMES
    ]
    settings = Settings(
        kafka_bootstrap=_bootstrap(environ, problems),
        databases=_databases(environ, services, problems),
        host=environ.get("SHOP_HOST", "127.0.0.1"),
        ports=_ports(environ, services, problems),
        partitions=_partitions(environ, problems),
        exit_on_stdin_eof=_flag(environ, "SHOP_EXIT_ON_STDIN_EOF", problems),
    )
    if problems:
        raise SettingsError(problems)
    return settings


def read_databases(environ: Mapping[str, str], services: Sequence[str]) -> Mapping[str, str]:
    """Only the database URLs, for a loader. Raises `SettingsError`."""
    problems: list[str] = []
    databases = _databases(environ, services, problems)
    if problems:
        raise SettingsError(problems)
    return databases


def _bootstrap(environ: Mapping[str, str], problems: list[str]) -> str:
    given = environ.get("SHOP_KAFKA_BOOTSTRAP", "")
    servers = [server.strip() for server in given.split(",")]
    if not all(host and port.isdecimal() for host, _, port in (server.rpartition(":") for server in servers)):
        problems.append(f"SHOP_KAFKA_BOOTSTRAP must be host:port[,host:port...], not {given!r}")
    return ",".join(servers)


def _databases(environ: Mapping[str, str], services: Sequence[str], problems: list[str]) -> dict[str, str]:
    ways = [name for name in ("SHOP_DATA", "SHOP_DATABASES", "SHOP_DATABASES_FILE") if environ.get(name)]
    if len(ways) != 1:
        problems.append(f"exactly one of SHOP_DATA, SHOP_DATABASES and SHOP_DATABASES_FILE must be set, not {ways}")
        return {}
    if ways == ["SHOP_DATA"]:
        directory = Path(environ["SHOP_DATA"])
        if not directory.is_dir():
            problems.append(f"SHOP_DATA must be a directory, and {directory} is none")
        return {service: f"sqlite:///{directory.resolve()}/{service}.sqlite" for service in services}
    return _database_urls(environ, ways[0], services, problems)


def _database_urls(
    environ: Mapping[str, str], name: str, services: Sequence[str], problems: list[str]
) -> dict[str, str]:
    given = environ[name]
    if name.endswith("_FILE"):
        try:
            given = Path(given).read_text().strip()
        except OSError as error:
            problems.append(f"{name} cannot be read: {error.strerror}")
            return {}
    urls = _pairs(given, name, services, problems)
    problems.extend(f"{name} has no database for {service}" for service in services if service not in urls)
    for service, url in urls.items():
        if not _is_database_url(url):
            problems.append(f"{name}: the URL of {service} must begin with {' or '.join(_DRIVERS)}")  # it may be secret
    return urls


def _is_database_url(url: str) -> bool:
    try:
        return make_url(url).drivername in _DRIVERS
    except ArgumentError:
        return False


def _ports(environ: Mapping[str, str], services: Sequence[str], problems: list[str]) -> dict[str, int]:
    ports = dict.fromkeys(services, 0)
    for service, port in _pairs(environ.get("SHOP_PORTS", ""), "SHOP_PORTS", services, problems).items():
        if port.isdecimal() and 0 <= int(port) <= 65535:
            ports[service] = int(port)
        else:
            problems.append(f"SHOP_PORTS: {service} must have a port from 0 to 65535, not {port!r}")
    return ports


def _pairs(given: str, name: str, services: Sequence[str], problems: list[str]) -> dict[str, str]:
    """`a=1,b=2`. A known service that is not started here may be named as well: one setting serves all processes."""
    pairs: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in given.split(","))):
        service, equals, value = part.partition("=")
        if not equals or not value:
            problems.append(f"{name}: expected service=value, separated by commas")
        elif service in services:
            pairs[service] = value
        elif service not in SERVICES:
            problems.append(f"{name}: {service!r} is not one of {', '.join(SERVICES)}")
    return pairs


def _partitions(environ: Mapping[str, str], problems: list[str]) -> int:
    given = environ.get("SHOP_PARTITIONS", "3")
    if not given.isdecimal() or not 1 <= int(given) <= _MOST_PARTITIONS:
        problems.append(f"SHOP_PARTITIONS must be a number from 1 to {_MOST_PARTITIONS}, not {given!r}")
        return 1
    return int(given)


def _flag(environ: Mapping[str, str], name: str, problems: list[str]) -> bool:
    given = environ.get(name, "0")
    if given not in ("0", "1"):
        problems.append(f"{name} must be 0 or 1, not {given!r}")
    return given == "1"
