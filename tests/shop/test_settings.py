"""Settings: all problems at once, nothing unknown under the prefix, no secret in a message."""

from pathlib import Path

import pytest

from examples.shop.__main__ import main
from examples.shop.contexts import CONTEXTS
from examples.shop.service.errors import SettingsError
from examples.shop.settings import SERVICES, read_databases, read_settings


def good(tmp_path: Path) -> dict[str, str]:
    return {"SHOP_KAFKA_BOOTSTRAP": "127.0.0.1:9092", "SHOP_DATA": str(tmp_path), "PATH": "/bin", "HEADRACE_PORT": "x"}


def problems(environ: dict[str, str], services: tuple[str, ...] = SERVICES) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as wrong:
        read_settings(environ, services)
    return wrong.value.problems


def test_the_names_of_the_services_are_those_of_the_contexts() -> None:
    assert tuple(context.name for context in CONTEXTS) == SERVICES


def test_defaults(tmp_path: Path) -> None:
    settings = read_settings(good(tmp_path), SERVICES)
    assert (settings.host, settings.partitions, settings.exit_on_stdin_eof) == ("127.0.0.1", 3, False)
    assert settings.ports == dict.fromkeys(SERVICES, 0)
    assert settings.databases["orders"] == f"sqlite:///{tmp_path}/orders.sqlite"


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    found = problems(
        {
            "SHOP_KAFKA_BOOTSTRAP": "nowhere",
            "SHOP_DATA": str(tmp_path / "missing"),
            "SHOP_PORTS": "orders=x,order=1,catalog",
            "SHOP_PARTITIONS": "0",
            "SHOP_EXIT_ON_STDIN_EOF": "yes",
            "SHOP_PORST": "1",
        }
    )
    assert [problem.split()[0].rstrip(":") for problem in found] == [
        "SHOP_PORST",
        "SHOP_KAFKA_BOOTSTRAP",
        "SHOP_DATA",
        "SHOP_PORTS",
        "SHOP_PORTS",
        "SHOP_PORTS",
        "SHOP_PARTITIONS",
        "SHOP_EXIT_ON_STDIN_EOF",
    ]


@pytest.mark.parametrize("bootstrap", ["", "host", "host:", ":9092", "host:x", "a:1,b", "a:1,"])
def test_a_bootstrap_is_hosts_and_ports(tmp_path: Path, bootstrap: str) -> None:
    assert len(problems(good(tmp_path) | {"SHOP_KAFKA_BOOTSTRAP": bootstrap})) == 1


def test_databases_are_a_directory_or_urls_not_both(tmp_path: Path) -> None:
    environ = good(tmp_path) | {"SHOP_DATABASES": "orders=sqlite:////tmp/x"}
    assert "exactly one" in problems(environ)[0]
    del environ["SHOP_DATA"], environ["SHOP_DATABASES"]
    assert "exactly one" in problems(environ)[0]


def test_only_the_services_that_are_started_need_a_database(tmp_path: Path) -> None:
    urls = "orders=postgresql+psycopg://u:secret@h/orders, payments=sqlite:////tmp/x"
    environ = {"SHOP_KAFKA_BOOTSTRAP": "a:1,b:2", "SHOP_DATABASES": urls}
    settings = read_settings(environ, ["orders"])
    assert settings.databases == {"orders": "postgresql+psycopg://u:secret@h/orders"}
    assert problems(environ, ("orders", "shipping")) == ("SHOP_DATABASES has no database for shipping",)


def test_a_wrong_url_is_not_repeated(tmp_path: Path) -> None:
    environ = {"SHOP_KAFKA_BOOTSTRAP": "a:1", "SHOP_DATABASES": "orders=mysql://u:secret@h/orders"}
    (problem,) = problems(environ, ("orders",))
    assert "secret" not in problem
    environ["SHOP_DATABASES"] = "orders=secret"
    assert "secret" not in problems(environ, ("orders",))[0]


def test_database_urls_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "databases"
    file.write_text("orders=sqlite:////tmp/x\n")
    environ = {"SHOP_KAFKA_BOOTSTRAP": "a:1", "SHOP_DATABASES_FILE": str(file)}
    assert read_databases(environ, ["orders"]) == {"orders": "sqlite:////tmp/x"}
    environ["SHOP_DATABASES_FILE"] = str(tmp_path / "missing")
    assert problems(environ, ("orders",)) == ("SHOP_DATABASES_FILE cannot be read: No such file or directory",)


def test_wrong_settings_exit_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SHOP_PORST", "1")
    assert main(["serve"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_an_unknown_service_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["serve", "orders", "ordres"])
    assert exit_.value.code == 2
    assert "ordres" in capsys.readouterr().err
