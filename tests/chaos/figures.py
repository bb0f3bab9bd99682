"""The figures that a run of chaos shows: what is played, what is counted, what is asked of it.

Invariants: each figure has servers and processes of its own; each leaves artefacts/chaos-<id>.json with its seed and its schedule,
also when it is missed.
"""

from __future__ import annotations

import asyncio
import json
import platform
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Self

from gateway.dev.servers import EmbeddedKafka, EmbeddedServer
from tests.chaos import mutants, schedule
from tests.chaos.campaign import Campaign
from tests.chaos.contents import Comparison
from tests.chaos.crew import Crew
from tests.chaos.guards import GUARDS
from tests.chaos.history import LOOSE, Shape, generate
from tests.chaos.models import TOPICS
from tests.chaos.publish import create_topics, publishing
from tests.chaos.reader import reading
from tests.chaos.schedule import FAILOVER, Fault, Figures
from tests.chaos.servers import FailingValkey
from tests.chaos.simulation import run_seed
from tests.equality.volume import play_volume
from tools.apache_kafka import ApacheKafka, is_possible

ARTEFACTS: Final = Path(__file__).resolve().parents[2] / "artefacts"
SETTLED_WITHIN_S: Final = 420.0
D6_WITHIN_S: Final = 60.0
R2_WITHIN_S: Final = 10.0
READ_BEFORE_S: Final = 2.0
"""Reads of D6 before the failover: what they are told they saw is then lost."""
AWAY_S: Final = 6.0
"""How long a server is away before it comes back: longer than any pause between two tries."""


@dataclass(frozen=True)
class Sizes:
    """How much of everything; each from the variable of its name in capitals."""

    seed: int = 1
    events: int = 100_000
    kills: int = 50
    rebalances: int = 10
    stalls: int = 5
    failovers: int = 3
    empties: int = 1
    broken: int = 1000
    brokers: int = 2
    workers: int = 3
    partitions: int = 6
    buckets: int = 2
    seeds: int = 300
    jobs: int = 2
    session_ms: int = 1500
    operations: int = 200_000

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Raises ValueError for what is not a whole number."""
        found: dict[str, int] = {}
        for name in (known.name for known in fields(cls)):
            if text := environ.get(name.upper()):
                try:
                    found[name] = int(text)
                except ValueError:
                    raise ValueError(f"{name.upper()} is a whole number, not {text!r}") from None
        return cls(**found)

    @property
    def apache(self) -> bool:
        """Whether the broker is Apache Kafka; Tansu where there is no Java, and without kills of it: it forgets its log."""
        return self.brokers > 0 and is_possible()

    @property
    def shape(self) -> Shape:
        return Shape(
            self.seed,
            self.events,
            orders=max(3, self.events // 25),
            products=max(2, self.events // 150),
            partitions=self.partitions,
            replays=10,
            stretch=min(400, max(10, self.events // 20)),
        )


@dataclass
class Result:
    """One figure: whether it was reached, and what was counted."""

    id: str
    seed: int
    is_met: bool = False
    figures: dict[str, Any] = field(default_factory=dict[str, Any])
    schedule: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    differences: list[str] = field(default_factory=list[str])
    seconds: float = 0.0

    def compared(self, comparison: Comparison) -> None:
        """Takes a comparison in: any difference misses the figure."""
        self.figures["compared"] = {**self.figures.get("compared", {}), **comparison.counts}
        self.figures["differing"] = self.figures.get("differing", 0) + comparison.differing
        self.differences += comparison.differences

    def told(self) -> str:
        """One line."""
        compared = self.figures.get("compared", {})
        shown = {**self.figures, "compared": sum(compared.values()) if isinstance(compared, dict) else compared}
        numbers = ", ".join(f"{name} {value}" for name, value in shown.items() if name != "caught_by")
        return f"{self.id} {'met' if self.is_met else 'MISSED'} seed {self.seed} in {self.seconds:.0f} s: {numbers}"


def _restarted(broker: EmbeddedServer, away_s: float) -> None:
    broker.kill()
    time.sleep(away_s)
    broker.start()


@asynccontextmanager
async def campaign(sizes: Sizes, folder: Path, **environ: str) -> AsyncIterator[Campaign]:
    """Servers, topics and workers that are ready, for the length of an `async with`."""
    async with AsyncExitStack() as stack:
        valkey = stack.enter_context(FailingValkey())
        kafka: EmbeddedServer = stack.enter_context(ApacheKafka() if sizes.apache else EmbeddedKafka())
        await create_topics(kafka.address, TOPICS, sizes.partitions)
        settings = {
            "HEADRACE_KAFKA_BOOTSTRAP": kafka.address,
            "HEADRACE_REDIS_URL": valkey.url,
            "HEADRACE_FETCH_MAX_WAIT_MS": "10",
            "HEADRACE_SESSION_TIMEOUT_MS": str(sizes.session_ms),
            "HEADRACE_BUCKETS": str(sizes.buckets),
            "HEADRACE_QUARANTINE_MAX": "200000",
            **environ,
        }
        crew = stack.enter_context(Crew(settings, folder))
        publisher = await stack.enter_async_context(publishing(kafka.address))
        for _ in range(sizes.workers):
            crew.join()
        await asyncio.to_thread(crew.until_ready)
        yield Campaign(
            crew,
            valkey,
            publisher,
            bootstrap=kafka.address,
            partitions=sizes.partitions,
            buckets=sizes.buckets,
            restart_broker=lambda away_s: asyncio.to_thread(_restarted, kafka, away_s),
            tell=lambda line: print(f"   {line}", flush=True),
        )


async def d5(sizes: Sizes, result: Result, folder: Path) -> None:
    """Every document equal at the end, whatever happened on the way."""
    history = generate(sizes.shape)
    figures = Figures(sizes.kills, sizes.rebalances, sizes.stalls, sizes.failovers, sizes.empties)
    figures = replace(figures, brokers=sizes.brokers if sizes.apache else 0)
    faults = schedule.plan(sizes.seed, figures, len(history.messages))
    result.schedule = [asdict(fault) for fault in faults]
    async with campaign(sizes, folder) as run:
        await run.play(history.messages, faults)
        settled_s = await run.until_applied(SETTLED_WITHIN_S)
        result.figures = {"events": sizes.events, "records": len(history.messages), **run.tally.faults}
        result.figures["settled_s"] = round(settled_s, 1)
        result.figures |= {f"{server}_back_s": seconds for server, seconds in run.tally.back_s.items()}
        result.compared(await run.compared())
        slowest_s = max((most for seconds in run.tally.back_s.values() for most in seconds), default=0.0)
        result.is_met = not result.figures["differing"] and slowest_s <= R2_WITHIN_S


async def d6(sizes: Sizes, result: Result, folder: Path) -> None:
    """A failover loses its tail: seconds until all is equal again, and until the projector goes on (R2); no lie meanwhile."""
    history = generate(sizes.shape)
    messages = history.messages[: min(len(history.messages), 30_000)]
    fault = Fault(FAILOVER, len(messages), 1.0, sizes.seed, tail=0.9, amnesia=True)
    result.schedule = [asdict(fault)]
    async with campaign(sizes, folder) as run:
        await run.play(messages[: len(messages) // 2], [])
        await run.until_applied(SETTLED_WITHIN_S)
        await asyncio.to_thread(run.valkey.attach)
        await asyncio.to_thread(run.valkey.detach)
        before = run.progress.total() or 0
        await run.publisher.publish(messages[len(messages) // 2 :])
        await run.until_applied(SETTLED_WITHIN_S)
        lost = (run.progress.total() or 0) - before
        async with reading(run.valkey.url, sizes.buckets, messages, sizes.seed) as reader:
            await asyncio.sleep(READ_BEFORE_S)
            started_s = time.monotonic()
            await asyncio.to_thread(run.valkey.fail_over, amnesia=True)
            while (run.progress.total() or 0) <= before:
                assert time.monotonic() - started_s < D6_WITHIN_S, "nothing moves after the failover"
                await asyncio.sleep(0.02)
            on_s = time.monotonic() - started_s
            await run.until_applied(D6_WITHIN_S)
            equal_s = time.monotonic() - started_s
        result.compared(await run.compared())
        result.differences += reader.found.told
        result.figures |= {"lost_positions": lost, "goes_on_s": round(on_s, 2), "equal_s": round(equal_s, 2)}
        result.figures |= reader.found.figures()
        in_time = equal_s <= D6_WITHIN_S and on_s <= R2_WITHIN_S
        result.is_met = not result.figures["differing"] and lost > 0 and in_time and reader.found.is_met


async def d7(sizes: Sizes, result: Result, folder: Path) -> None:
    """Broken records: all set aside, nothing stuck, nothing good lost; and all healed when the good ones come."""
    shape = sizes.shape
    history = generate(
        Shape(**{**asdict(shape), "broken": sizes.broken, "held_percent": 0.2}),
    )
    async with campaign(sizes, folder) as run:
        await run.play(history.messages, [])
        await run.until_applied(SETTLED_WITHIN_S)
        result.compared(await run.compared())
        places = {message.fact.mark for message in history.messages if message.broken and message.fact}
        loose = sum(1 for message in history.messages if message.broken in LOOSE)
        result.figures |= {"events": sizes.events, "broken": len(places), "of_them_loose_with_copies": loose}
        await run.play(history.repairs, [])
        await run.until_applied(SETTLED_WITHIN_S)
        result.compared(await run.compared())
        result.is_met = not result.figures["differing"] and len(places) == sizes.broken


async def r2(sizes: Sizes, result: Result, folder: Path) -> None:
    """A server that was away comes back: seconds until what is published then is applied, with no restart of anything."""
    messages = generate(replace(sizes.shape, events=3000)).messages
    third = len(messages) // 3
    async with campaign(sizes, folder) as run:
        await run.play(messages[:third], [])
        await run.until_applied(SETTLED_WITHIN_S)
        await asyncio.to_thread(run.valkey.attach)
        await asyncio.to_thread(run.valkey.fail_over, amnesia=True, away_s=AWAY_S)
        started_s = time.monotonic()
        await run.publisher.publish(messages[third : 2 * third])
        await run.until_applied(SETTLED_WITHIN_S)
        result.figures["redis_back_s"] = round(time.monotonic() - started_s, 2)
        if sizes.apache:
            await run.restart_broker(AWAY_S)
            started_s = time.monotonic()
            await run.publisher.publish(messages[2 * third :])
            await run.until_applied(SETTLED_WITHIN_S)
            result.figures["kafka_back_s"] = round(time.monotonic() - started_s, 2)
        assert len(run.crew.workers) == sizes.workers
        assert run.crew.alive()
        result.compared(await run.compared())
        slowest_s = max(result.figures["redis_back_s"], result.figures.get("kafka_back_s", 0.0))
        result.is_met = not result.figures["differing"] and slowest_s <= R2_WITHIN_S


async def memory(sizes: Sizes, result: Result, folder: Path) -> None:
    """Many seeds of the simulation in memory; `folder` is not needed."""
    faults: dict[str, int] = {}
    changes = compared = 0
    for seed in range(sizes.seed, sizes.seed + sizes.seeds):
        try:
            outcome = await asyncio.to_thread(run_seed, seed)
        except AssertionError as error:
            result.differences.append(str(error)[:4000])
            continue
        changes += outcome.changes
        compared += sum(sum(comparison.counts.values()) for comparison in outcome.comparisons)
        for name, count in outcome.faults.items():
            faults[name] = faults.get(name, 0) + count
    result.figures = {"seeds": sizes.seeds, "changes": changes, "compared": compared, "faults": faults}
    result.figures["failed_seeds"] = len(result.differences)
    result.is_met = not result.differences


async def d8(sizes: Sizes, result: Result, folder: Path) -> None:
    """Every guard taken away is noticed by a test; `folder` is not needed."""
    verdicts = await asyncio.to_thread(mutants.judge_all, GUARDS, sizes.jobs)
    survived = [verdict.name for verdict in verdicts if verdict.caught_by is None]
    result.figures = {"guards": len(verdicts), "caught": len(verdicts) - len(survived), "survived": survived}
    result.figures["caught_by"] = {verdict.name: verdict.caught_by for verdict in verdicts}
    result.is_met = not survived


async def eq(sizes: Sizes, result: Result, folder: Path) -> None:
    """Three sides give one answer to generated operations under faults; `folder` is not needed."""
    found = await asyncio.to_thread(play_volume, sizes.seed, sizes.operations, sizes.jobs)
    result.figures = {**asdict(found.tally), "compiled_share": round(found.compiled_share, 4)}
    result.figures["differing"] = len(found.told)
    result.differences = found.told
    result.is_met = found.is_met


FIGURES: Final[Mapping[str, Callable[[Sizes, Result, Path], Awaitable[None]]]] = {
    "memory": memory,
    "D5": d5,
    "D6": d6,
    "D7": d7,
    "R2": r2,
    "D8": d8,
    "EQ": eq,
}


async def run(sizes: Sizes, only: Sequence[str]) -> int:
    """Plays figures one after another; the exit code."""
    missed = 0
    print(" ".join(f"{name.upper()}={value}" for name, value in asdict(sizes).items()), flush=True)
    for id in only:
        result = Result(id, sizes.seed)
        started_s = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="headrace-chaos-") as folder:
            try:
                await FIGURES[id](sizes, result, Path(folder))
            except (AssertionError, ValueError) as error:
                result.is_met = False
                result.differences.append(str(error)[:8000])
            result.seconds = time.monotonic() - started_s
        _keep(result, sizes)
        print(result.told(), *result.differences[:5], sep="\n   ", flush=True)
        missed += not result.is_met
    return 1 if missed else 0


def _keep(result: Result, sizes: Sizes) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    kept = {
        **asdict(result),
        "sizes": asdict(sizes),
        "machine": platform.platform(),
        "python": platform.python_version(),
    }
    path = ARTEFACTS / f"chaos-{result.id.lower()}.json"
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False), encoding="utf-8")
