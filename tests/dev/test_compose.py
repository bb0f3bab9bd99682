"""docker-compose.yml and the Dockerfile fit the product: its settings, its files, its metrics, its imports."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.shop.settings import SERVICES, read_settings
from gateway import telemetry as gateway_telemetry
from gateway.settings import gateway_settings
from projections import telemetry as projector_telemetry
from projections.settings import GATEWAY_NAMES, WorkerSettings, read
from tests.e2e.program import environment

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "compose"


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


COMPOSE = load(ROOT / "docker-compose.yml")
PARTS: dict[str, Any] = COMPOSE["services"]


def settings_of(part: str) -> dict[str, str]:
    """What the part finds in its environment; secrets are where the repository has them."""
    environ = PARTS[part]["environment"]
    assert all(isinstance(value, str) for value in environ.values()), "YAML would turn it into something else"
    for name, value in environ.items():
        if value.startswith("/run/secrets/"):
            secret = value.removeprefix("/run/secrets/")
            assert secret in PARTS[part]["secrets"], name
            environ = {**environ, name: str(ROOT / COMPOSE["secrets"][secret]["file"])}
    return dict(environ)


def test_compose_itself_accepts_the_file() -> None:
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed here")
    done = subprocess.run(
        [docker, "compose", "config", "--quiet"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_a_write_service_starts_with_these_settings(service: str) -> None:
    assert PARTS[service]["command"][-1] == service
    settings = read_settings(settings_of(service), [service])
    assert settings.databases[service].endswith(f"@postgres:5432/{service}")
    assert settings.ports[service] == 8080
    assert settings.host == "0.0.0.0"  # noqa: S104 - inside its container


def test_the_projector_starts_with_these_settings() -> None:
    ours = {name: value for name, value in settings_of("projector").items() if name.startswith("HEADRACE_")}
    settings = read(WorkerSettings, ours, elsewhere=GATEWAY_NAMES)
    assert settings.kafka_bootstrap == settings_of("customers")["SHOP_KAFKA_BOOTSTRAP"]


def test_the_gateway_starts_with_these_settings() -> None:
    ours = {name: value for name, value in settings_of("gateway").items() if name.startswith("HEADRACE_")}
    settings = gateway_settings(ours)
    assert settings.services == {service: f"http://{service}:8080" for service in SERVICES}
    assert settings.redis_url == settings_of("projector")["HEADRACE_REDIS_URL"]
    assert PARTS["gateway"]["ports"] == [f"127.0.0.1:${{HEADRACE_PORT:-8000}}:{settings.port}"]


def test_every_database_is_made() -> None:
    script = (DEPLOY / "postgres" / "databases.sql").read_text(encoding="utf-8")
    assert re.findall(r"^CREATE DATABASE (\w+);$", script, re.MULTILINE) == list(SERVICES)
    assert PARTS["postgres"]["healthcheck"]["test"][-1] == SERVICES[-1]
    password = (DEPLOY / "secrets" / "postgres_password").read_text(encoding="utf-8").strip()
    assert f"{PARTS['postgres']['environment']['POSTGRES_USER']}:{password}@" in (
        DEPLOY / "secrets" / "shop_databases"
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize("part", PARTS)
def test_a_part_depends_on_parts_that_are_there(part: str) -> None:
    for name, condition in PARTS[part].get("depends_on", {}).items():
        assert name in PARTS
        assert condition["condition"] != "service_healthy" or "test" in PARTS[name]["healthcheck"]


@pytest.mark.parametrize("part", PARTS)
def test_an_image_is_pinned_or_built_here(part: str) -> None:
    image = PARTS[part]["image"]
    if "build" in PARTS[part]:
        assert image.endswith(":local")
        assert PARTS[part]["build"]["target"] in dockerfile_targets()
    else:
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)?$", image), image


@pytest.mark.parametrize("part", PARTS)
def test_what_is_mounted_is_there(part: str) -> None:
    for volume in PARTS[part].get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
            assert volume.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]
    for secret in PARTS[part].get("secrets", []):
        assert (ROOT / COMPOSE["secrets"][secret]["file"]).is_file()


def test_nothing_listens_beyond_this_machine() -> None:
    ports = [port for part in PARTS.values() for port in part.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_store_may_not_evict() -> None:
    command = PARTS["redis"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_what_is_sent_arrives() -> None:
    collector = load(DEPLOY / "collector.yaml")
    http = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]
    for part in ("projector", "gateway"):
        assert PARTS[part]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"http://collector:{http}"
    for pipeline in collector["service"]["pipelines"].values():
        for stage in ("receivers", "processors", "exporters"):
            assert set(pipeline[stage]) <= set(collector[stage])
    exported = collector["exporters"]["prometheus"]["endpoint"].rpartition(":")[2]
    targets = load(DEPLOY / "prometheus.yml")["scrape_configs"][0]["static_configs"][0]["targets"]
    assert targets == [f"collector:{exported}"]
    sources = load(DEPLOY / "grafana" / "provisioning" / "datasources" / "datasources.yaml")["datasources"]
    assert {source["url"].split("//")[1].split(":")[0] for source in sources} <= set(PARTS)


def prometheus_names() -> dict[str, frozenset[str]]:
    """Every series that the two floors can emit, as Prometheus calls it, with its labels."""
    metrics = (*gateway_telemetry.METRICS, *projector_telemetry.METRICS)
    suffixes = {"counter": "_total", "histogram": "_seconds_bucket"}
    return {
        metric.name.replace(".", "_") + suffixes[metric.kind]: frozenset({*metric.attributes, "le"})
        for metric in metrics
    }


def test_a_dashboard_shows_only_what_is_emitted() -> None:
    known = prometheus_names()
    sources = load(DEPLOY / "grafana" / "provisioning" / "datasources" / "datasources.yaml")["datasources"]
    seen = set()
    for path in (DEPLOY / "grafana" / "dashboards").glob("*.json"):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            assert panel["datasource"]["uid"] in {source["uid"] for source in sources}
            for target in panel["targets"]:
                [name] = re.findall(r"headrace_\w+", target["expr"])
                labels = re.search(r"sum by \(([^)]*)\)", target["expr"])
                assert labels
                assert set(labels[1].split(", ")) <= known[name], target["expr"]
                seen.add(name)
    assert len(seen) >= 6


def dockerfile_targets() -> dict[str, list[str]]:
    """What each stage of the Dockerfile copies out of the checkout."""
    targets: dict[str, list[str]] = {}
    stage = ""
    for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines():
        if found := re.match(r"FROM \S+ AS (\S+)$", line):
            stage = found[1]
            targets[stage] = []
        elif line.startswith("COPY ") and "--from" not in line:
            targets[stage].append(line.split()[1])
    return targets


@pytest.mark.parametrize(
    ("target", "commands"),
    [
        ("shop", ["-m examples.shop serve --help", "-m examples.shop.seed", "-c import~examples.shop.service.serve"]),
        ("headrace", ["-m gateway schema", "-m projections status --help"]),
    ],
)
def test_an_image_has_all_that_its_programs_import(target: str, commands: list[str], tmp_path: Path) -> None:
    for source in dockerfile_targets()[target]:
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, tmp_path / source)
    for command in commands:
        argv = [sys.executable, *(word.replace("~", " ") for word in command.split())]
        done = subprocess.run(argv, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
        assert "Error" not in done.stderr, done.stderr
        assert done.returncode in {0, 2}, done.stderr


def test_the_build_sees_what_the_dockerfile_copies() -> None:
    seen = [
        line[1:].removesuffix("/**") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    ]
    for sources in dockerfile_targets().values():
        for source in sources:
            assert any(source == path or source.startswith(f"{path}/") for path in seen), source
            assert (ROOT / source).exists()
