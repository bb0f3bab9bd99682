"""Apache Kafka without Docker: one KRaft broker from Maven artefacts, on Java 17 and free loopback ports.

    python -m tools.apache_kafka fetch     gets the artefacts (43 MB, once), or says what is missing
    python -m tools.apache_kafka run       starts a broker, prints its address, stops it on Ctrl-C or SIGTERM

The artefacts are kept in the environment's folder, under a digest of the list of them, so that another version is another folder.
The data are kept from `start` to `start` and go with `close`, also when the starter is killed.
"""

import argparse
import base64
import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path

from gateway.dev.errors import DevError, ServerMissingError
from gateway.dev.ports import LOOPBACK, free_port
from gateway.dev.probes import kafka_answers
from gateway.dev.servers import SERVER_ENV, EmbeddedServer, ServerLaunch

POM = Path(__file__).with_name("apache_kafka.pom.xml")
FETCH_WITHIN_S = 300.0
FORMAT_WITHIN_S = 60.0
READY_WITHIN_S = 60.0
# A small heap, and the quick compiler alone: a test's broker lives for seconds (up in 2 s instead of 3).
_JVM = (
    "-Xms96m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
# What a cluster does in minutes, a test awaits in seconds: coming back after a kill, joins, short sessions, retention, compaction.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
initial.broker.registration.timeout.ms=60000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
log.initial.task.delay.ms=200
log.retention.check.interval.ms=200
log.cleaner.backoff.ms=200
log.segment.delete.delay.ms=200
# Records with the time of long ago stay, unless a topic says otherwise.
log.retention.ms=-1
# As a default installation has it: a client that asks for a topic by name makes it, unless it says otherwise.
auto.create.topics.enable=true
"""


class ApacheKafka(EmbeddedServer):
    """A broker at `bootstrap`. It keeps its topics and groups when it is killed or stopped and started again."""

    def __init__(self, port: int | None = None) -> None:
        super().__init__(_launch, port)

    @property
    def bootstrap(self) -> str:
        return self.address


def is_possible() -> bool:
    """Whether Java and Maven are here."""
    return bool(shutil.which("java") and shutil.which("mvn"))


def fetched() -> Path:
    """The folder of the artefacts, filled by Maven if need be. Raises ServerMissingError."""
    folder = Path(sys.prefix) / ".cache" / f"apache-kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    if not is_possible():
        raise ServerMissingError("Apache Kafka needs Java 17 and Maven: `java` and `mvn` on the PATH")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        jars = Path(name) / "jars"
        _run(
            ["mvn", "-B", "-q", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={jars}"],
            FETCH_WITHIN_S,
        )
        with contextlib.suppress(OSError):  # somebody else was quicker
            jars.rename(folder)
    return folder


def _launch(port: int, folder: Path) -> ServerLaunch:
    java = [shutil.which("java") or "java", *_JVM, "-cp", f"{fetched()}/*"]
    settings, cluster = folder / "server.properties", folder / "cluster-id"
    settings.write_text(_PROPERTIES.format(host=LOOPBACK, port=port, controller=free_port(), data=folder / "data"))
    if not cluster.exists():
        cluster_id = (
            "h" + base64.urlsafe_b64encode(os.urandom(16)).decode()[1:22]
        )  # as Kafka writes a uuid; no "-" in front
        _run([*java, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(settings)], FORMAT_WITHIN_S)
        cluster.write_text(cluster_id)
    cluster_id = cluster.read_text()
    argv = (*java, "kafka.Kafka", str(settings))
    answers = partial(_answers, port, cluster_id)
    return ServerLaunch("kafka", port, f"{LOOPBACK}:{port}", argv, answers, READY_WITHIN_S)


def _answers(port: int, cluster_id: str, _: int) -> bool:
    return kafka_answers(port, cluster_id)


def _run(argv: list[str], within_s: float) -> str:
    """What it prints. Raises ServerMissingError with its last words."""
    env = SERVER_ENV if argv[0] != "mvn" else None  # Maven has its mirror and its proxy from the environment
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=within_s, check=False, env=env)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerMissingError(f"{argv[0]} did not do its work: {error}") from error
    if done.returncode:
        raise ServerMissingError(f"{argv[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def _serve() -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with ApacheKafka() as broker:
        print(f"ready {broker.bootstrap}", flush=True)  # noqa: T201
        ended.wait()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.apache_kafka", description=__doc__)
    parser.add_argument("what", choices=["fetch", "run"])
    try:
        if parser.parse_args().what == "fetch":
            print(fetched())  # noqa: T201
        else:
            _serve()
    except DevError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return os.EX_UNAVAILABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
