"""Settings from the environment: everything that is wrong is told at once, and nothing of a secret."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.settings import gateway_settings
from projections.errors import SettingsError
from projections.settings import (
    GATEWAY_NAMES,
    NAMES,
    StoreSettings,
    WorkerSettings,
    choice,
    described,
    integer,
    projector_settings,
    read,
    setting,
)

GOOD = {"HEADRACE_KAFKA_BOOTSTRAP": "127.0.0.1:9092", "HEADRACE_REDIS_URL": "redis://127.0.0.1:6379"}


def problems(environ: dict[str, str], cls: type[object] = WorkerSettings) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(cls, environ, elsewhere=GATEWAY_NAMES)
    return list(caught.value.problems)


def test_defaults() -> None:
    found = read(WorkerSettings, GOOD)
    assert found == WorkerSettings(kafka_bootstrap="127.0.0.1:9092", redis_url="redis://127.0.0.1:6379")
    assert (found.buckets, found.projections, found.exit_on_stdin_eof) == (1, (), False)


def test_everything_set() -> None:
    found = read(
        WorkerSettings,
        {
            "HEADRACE_KAFKA_BOOTSTRAP": "a:1,[::1]:2",
            "HEADRACE_REDIS_URL": "rediss://user:secret@host:6380/1",
            "HEADRACE_PROJECTIONS": " orders, payments ,",
            "HEADRACE_BUCKETS": "16",
            "HEADRACE_BATCH_RECORDS": "100",
            "HEADRACE_FETCH_MAX_WAIT_MS": "10",
            "HEADRACE_QUARANTINE_MAX": "0",
            "HEADRACE_EXIT_ON_STDIN_EOF": "1",
            "HEADRACE_LOG_LEVEL": "DEBUG",
            "HEADRACE_SERVICES": "read by the gateway",
            "PATH": "/bin",
        },
        elsewhere=GATEWAY_NAMES,
    )
    assert found.projections == ("orders", "payments")
    assert (found.buckets, found.fetch_max_wait_ms, found.quarantine_max, found.log_level) == (16, 10, 0, "DEBUG")
    assert found.exit_on_stdin_eof
    assert "secret" not in repr(found)


def test_all_problems_at_once() -> None:
    found = problems(
        {
            "HEADRACE_REDIS_URL": "http://:pa55word@",
            "HEADRACE_BUCKETS": "0",
            "HEADRACE_LOG_LEVEL": "chatty",
            "HEADRACE_BATCH_RECORDS": "many",
            "HEADRACE_EXIT_ON_STDIN_EOF": "yes",
            "HEADRACE_BUKETS": "1",
            "HEADRACE_BUCKETS_FILE": "/run/buckets",
            "HEADRACE_TOKEN_KEYS_FILE": "/run/keys",
            "HEADRACE_QQ": "1",
        }
    )
    assert found == [
        "HEADRACE_REDIS_URL is not the URL of a Redis or Valkey server: it does not begin with redis://, rediss:// or "
        "unix://; for example HEADRACE_REDIS_URL=redis://127.0.0.1:6379",
        "HEADRACE_BUCKETS is not a whole number from 1 to 1024: 0 is out of range; for example HEADRACE_BUCKETS=1",
        "HEADRACE_LOG_LEVEL is not one of DEBUG, INFO, WARNING, ERROR: 'chatty'; for example HEADRACE_LOG_LEVEL=DEBUG",
        "HEADRACE_KAFKA_BOOTSTRAP is missing: brokers to ask for the others; "
        "for example HEADRACE_KAFKA_BOOTSTRAP=127.0.0.1:9092",
        "HEADRACE_BATCH_RECORDS is not a whole number from 1 to 10000: 'many'; for example HEADRACE_BATCH_RECORDS=500",
        "HEADRACE_EXIT_ON_STDIN_EOF is not 0 or 1: 'yes'; for example HEADRACE_EXIT_ON_STDIN_EOF=1",
        "HEADRACE_BUCKETS_FILE is not a setting; did you mean HEADRACE_BUCKETS?",
        "HEADRACE_BUKETS is not a setting; did you mean HEADRACE_BUCKETS?",
        "HEADRACE_QQ is not a setting",
    ]


def test_what_asks_the_store_alone_needs_the_store_alone() -> None:
    """What `run` reads beside it may be there, as it is and even wrong: nobody looks at it."""
    alone = {"HEADRACE_REDIS_URL": "redis://host", "HEADRACE_BUCKETS": "16", "HEADRACE_PORT": "8000"}
    wanted = StoreSettings(redis_url="redis://host", buckets=16)
    assert projector_settings(alone, runs=False) == wanted
    assert projector_settings({**alone, "HEADRACE_KAFKA_BOOTSTRAP": "?", "HEADRACE_GROUP": "g"}, runs=False) == wanted
    with pytest.raises(SettingsError) as caught:
        projector_settings({"HEADRACE_BUCKETS": "x", "HEADRACE_BUCKETS_FILE": "x", "HEADRACE_GRUOP": "g"}, runs=False)
    assert [problem.split()[0] for problem in caught.value.problems] == [
        "HEADRACE_REDIS_URL",
        "HEADRACE_BUCKETS",
        "HEADRACE_BUCKETS_FILE",
        "HEADRACE_GRUOP",
    ]


def test_to_run_the_log_is_needed_too() -> None:
    assert projector_settings({**GOOD, "HEADRACE_PORT": "8000"}, runs=True) == read(WorkerSettings, GOOD)
    with pytest.raises(SettingsError, match="HEADRACE_KAFKA_BOOTSTRAP is missing"):
        projector_settings({"HEADRACE_REDIS_URL": "redis://host"}, runs=True)


@pytest.mark.parametrize("value", ["", "host", "host:", ":9092", "host:port", "host:0", "host:70000", "a:1,,b:2"])
def test_a_bootstrap_that_is_no_list_of_hosts(value: str) -> None:
    assert len(problems({**GOOD, "HEADRACE_KAFKA_BOOTSTRAP": value})) == 1


@pytest.mark.parametrize("value", ["redis://", "redis://host:port", "redis://host:99999", "tcp://host"])
def test_a_url_that_names_no_store(value: str) -> None:
    assert len(problems({**GOOD, "HEADRACE_REDIS_URL": value})) == 1


@pytest.mark.parametrize(
    "value",
    [
        "redis://default:S3CRET/ord@host:6379",
        "redis://:S3CR/ET@host:6379",
        "redis://user:S3CRET\u2100x@host:6379",
        "redis://user:S3CRET]@host:6379",
        "redis://user:[S3CRET]@host:6379",
        "redis://user:123/S3CRET@host:6379",
        "redis://user:123?S3CRET@host:6379",
        "redis://user:123#S3CRET@host:6379",
        "redis://host?db=S3CRET",
        "redis://host?socket_timeout=S3CRET",
        "http://user:S3CRET@host",
        "S3CRET",
    ],
)
def test_no_message_repeats_a_password(value: str) -> None:
    [told] = problems({**GOOD, "HEADRACE_REDIS_URL": value})
    assert told.startswith("HEADRACE_REDIS_URL is not the URL of a Redis or Valkey server: ")
    for part in ("S3CR", "ord", "123", "ET@", "host:6379"):
        assert part not in told


def test_nor_an_item_of_a_list() -> None:
    [told] = problems({**GOOD, "HEADRACE_KAFKA_BOOTSTRAP": "a:1,user:S3CRET@b"})
    assert "item 2 is not host:port" in told
    assert "S3CRET" not in told


KEY = "A" * 44


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SERVICES", "orders=http://o,http://u:S3CRET@o", "item 2 does not read context=url"),
        ("SERVICES", "orders=http://u:S3CRET@o", "the address in item 1 holds credentials"),
        ("SERVICES", "orders=http://u:S3C/RET@o", "the address in item 1 holds credentials"),
        ("SERVICES", "orders=http://S3CRET:x", "the address in item 1 is not an http(s) base URL"),
        ("SERVICES", "orders=http://[S3CRET", "the address in item 1 is not an http(s) base URL"),
        ("SERVICES", "orders=ftp://S3CRET", "the address in item 1 is not an http(s) base URL"),
        ("SERVICES", "orders=http://o,orders=http://S3CRET", "item 2 names a context that an earlier one names"),
        ("TOKEN_KEYS", "S3CRETS3CRET:k1", "the secret of item 1 has 1 bytes"),
        ("TOKEN_KEYS", f"k1:{KEY},S3CRETS3CRET:k", "the secret of item 2 is not base64url"),
        ("TOKEN_KEYS", "S3CRETS3CRET:é", "the secret of item 1 is not base64url"),
        ("TOKEN_KEYS", f"S3CRETS3CRETS3CRET:{KEY}", "item 1 does not read id:secret"),
        ("TOKEN_KEYS", f"S3CRET:{KEY},S3CRET:{KEY}", "item 2 has the id of an earlier one"),
        ("HOST", "S3CRET@", "it is not a name or an address"),
    ],
)
def test_the_gateways_messages_number_items(name: str, value: str, words: str) -> None:
    good = {"REDIS_URL": "redis://h", "SERVICES": "orders=http://o", "TOKEN_KEYS": f"k1:{KEY}"}
    with pytest.raises(SettingsError) as caught:
        gateway_settings({f"HEADRACE_{key}": text for key, text in {**good, name: value}.items()})
    [told] = caught.value.problems
    assert words in told
    assert "S3C" not in told
    assert caught.value.__cause__ is None


def test_a_secret_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("redis://:pa55@host:1\n")
    bootstrap = {"HEADRACE_KAFKA_BOOTSTRAP": "a:1"}
    assert read(WorkerSettings, {**bootstrap, "HEADRACE_REDIS_URL_FILE": str(file)}).redis_url == "redis://:pa55@host:1"
    [both] = problems({**GOOD, "HEADRACE_REDIS_URL_FILE": str(file)})
    assert "both HEADRACE_REDIS_URL and HEADRACE_REDIS_URL_FILE are set" in both
    [missing] = problems({**bootstrap, "HEADRACE_REDIS_URL_FILE": str(tmp_path / "none")})
    assert "cannot be read: FileNotFoundError" in missing
    file.write_text("")
    [empty] = problems({**bootstrap, "HEADRACE_REDIS_URL_FILE": str(file)})
    assert empty.startswith("HEADRACE_REDIS_URL is missing")


@dataclass(frozen=True, kw_only=True)
class Other:
    mode: str = setting("how", choice("fast", "slow"))
    names: tuple[str, ...] = setting("who", NAMES, default=("x",))
    size: int = setting("how many", integer(1, 9, example=3), default=2)


def test_another_class_and_prefix() -> None:
    assert read(Other, {"X_MODE": "slow", "X_NAMES": "a"}, "X_") == Other(mode="slow", names=("a",), size=2)
    assert list(described(Other, "X_")) == ["X_MODE", "X_NAMES", "X_SIZE"]


def test_every_setting_says_what_it_is_for() -> None:
    for name, (about, _) in described(WorkerSettings).items():
        assert about.help, name
        assert about.kind.parse(about.kind.example) is not None


def test_no_name_belongs_to_both_processes() -> None:
    assert not GATEWAY_NAMES & described(WorkerSettings).keys()
