"""The event log on Kafka, through aiokafka.

- Order: at most one batch per partition is on its way, so nothing of a key is sent after something that failed, also
  where the broker knows no idempotent producers. Where it does, they keep a retry from appending a batch twice.
- Topics are made before anything else is asked about them: brokers that make topics by themselves choose their own
  number of partitions.
- Partitions are assigned by hand, all of them, from the beginning or the given position: no group, no slow join.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, UnknownError, for_code
from aiokafka.partitioner import DefaultPartitioner

from examples.shop.service.declare import Topic
from examples.shop.service.errors import BrokerError
from examples.shop.service.log import Incoming, Outgoing, Place, Published

# Kafka's default message.max.bytes is 1,048,588 for a whole batch; some headers are added to what is counted here.
_BATCH_BYTES = 1_000_000
_REQUEST_TIMEOUT_MS = 10_000
_STOPPED_WITHIN_S = 1.0
_MADE_WITHIN_S = 5.0
_ASKED_EVERY_S = 0.05
_FETCH_RECORDS = 2_000
# The embedded broker notices new records only at about half of this time; Kafka itself answers at once.
_FETCH_WAIT_MS = 100

_logger = logging.getLogger(__name__)


async def ensure_topics(bootstrap: str, topics: Sequence[Topic], partitions: int) -> dict[str, list[int]]:
    """Makes the topics that are missing, and tells the partitions that each of them has. Raises `BrokerError`."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=_REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        wanted = [NewTopic(topic.name, partitions, 1, topic_configs=_configuration(topic)) for topic in topics]
        answer = await admin.create_topics(wanted)
        for name, code, *_ in answer.topic_errors:
            if code and for_code(code) is not TopicAlreadyExistsError:
                raise BrokerError(f"topic {name} cannot be made: {for_code(code).__name__}")
        return await _known_partitions(admin, [topic.name for topic in topics])
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerError(f"{bootstrap} does not answer: {error!r}") from error
    finally:
        await admin.close()


async def _known_partitions(admin: Any, names: list[str]) -> dict[str, list[int]]:
    """Asks until the broker knows the partitions of a topic that it has just made. Raises TimeoutError."""
    async with asyncio.timeout(_MADE_WITHIN_S):
        while True:
            described = await admin.describe_topics(names)
            if all(topic["error_code"] == 0 and topic["partitions"] for topic in described):
                return {
                    topic["topic"]: sorted(partition["partition"] for partition in topic["partitions"])
                    for topic in described
                }
            await asyncio.sleep(_ASKED_EVERY_S)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A batch on its way: where to, which records, and its acknowledgement."""

    partition: int
    indexes: list[int]
    answer: asyncio.Future[Any]


class KafkaPublisher:
    """See `log.Publisher`. `partitions` is for a topic that has to be made; one that is there is taken as it is."""

    def __init__(self, bootstrap: str, topic: Topic, partitions: int) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._partitions_wanted = partitions
        self._partition_of = DefaultPartitioner()
        self._partitions: list[int] = []
        self._ends: dict[int, int] = {}
        self._producer: Any = None

    async def open(self) -> None:
        await self.close()
        self._ends = {}
        known = await ensure_topics(self._bootstrap, [self._topic], self._partitions_wanted)
        self._partitions = known[self._topic.name]
        try:
            self._producer = await self._started()
        except (KafkaError, OSError, TimeoutError) as error:
            raise BrokerError(f"{self._bootstrap} takes no records: {error!r}") from error

    async def publish(self, records: Sequence[Outgoing]) -> Published:
        sent: list[_Sent] = []
        trouble: BrokerError | None = None
        try:
            for partition, (batch, indexes) in self._batched(records).items():
                answer = await self._producer.send_batch(batch, self._topic.name, partition=partition)
                answer.add_done_callback(_seen)
                sent.append(_Sent(partition, indexes, answer))
        except KafkaError as error:
            trouble = BrokerError(f"{self._topic.name} was not sent: {error!r}")
        if sent:
            # Not gather: when this is cancelled, the answers must stay as they are, the producer still works on them.
            await asyncio.wait([one.answer for one in sent])
        if any(self._is_of_another_log(one) for one in sent):
            return Published((), BrokerError(f"{self._topic.name} was made anew while it was published to"))
        acknowledged: list[int] = []
        for one in sent:
            refusal = one.answer.exception()
            if refusal is not None:
                trouble = BrokerError(f"{self._topic.name} was refused: {refusal!r}")
            else:
                acknowledged.extend(one.indexes)
                self._ends[one.partition] = one.answer.result().offset + len(one.indexes)
        return Published(acknowledged, trouble)

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await _abandon(producer)

    def _is_of_another_log(self, sent: _Sent) -> bool:
        """Whether a batch was given an offset that was given before.

        The embedded broker, killed and started again, has forgotten its topics and still acknowledges records for
        them, which nobody can read. Opening again makes the topic; then they are published again.
        """
        if sent.answer.exception() is not None:
            return False
        offset: int = sent.answer.result().offset
        return 0 <= offset < self._ends.get(sent.partition, 0)  # -1: an idempotent producer's retry, offset unknown

    async def _started(self) -> Any:
        """A producer, an idempotent one if the broker has them (the embedded one has not, for aiokafka)."""
        try:
            return await self._start(enable_idempotence=True)
        except UnknownError:
            _logger.debug("%s knows no idempotent producers", self._bootstrap)
            return await self._start(acks="all")

    async def _start(self, **kind: Any) -> Any:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            max_batch_size=_BATCH_BYTES,
            **kind,
        )
        try:
            await producer.start()
        except BaseException:
            await _abandon(producer)
            raise
        return producer

    def _batched(self, records: Sequence[Outgoing]) -> dict[int, tuple[Any, list[int]]]:
        """One batch per partition, with the indexes of its records; what does not fit is left for the next time.

        No time is given: the log's own time is when it got the record, so that retention counts from there. When the
        fact became true is in `ce_time`.
        """
        batches: dict[int, tuple[Any, list[int]]] = {}
        places = {key: self._partition_of(key, self._partitions, self._partitions) for key in {r.key for r in records}}
        for index, record in enumerate(records):
            partition = places[record.key]
            if partition not in batches:
                batches[partition] = (self._producer.create_batch(), [])
            batch, indexes = batches[partition]
            headers = list(record.headers)
            # A batch that refused one record takes no later ones: the order stays.
            if batch.append(timestamp=None, key=record.key, value=record.value, headers=headers) is not None:
                indexes.append(index)
        return batches


class KafkaSource:
    """See `log.Source`."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self._bootstrap = bootstrap
        self._partitions_wanted = partitions
        self._consumer: Any = None

    async def open(self, topics: Sequence[Topic], positions: Mapping[Place, int]) -> None:
        await self.close()
        known = await ensure_topics(self._bootstrap, topics, self._partitions_wanted)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
        )
        try:
            await self._consumer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            raise BrokerError(f"{self._bootstrap} gives no records: {error!r}") from error
        places = [(topic.name, partition) for topic in topics for partition in known[topic.name]]
        self._consumer.assign([TopicPartition(*place) for place in places])
        for place in places:
            self._consumer.seek(TopicPartition(*place), positions.get(place, 0))

    async def fetch(self) -> Sequence[Incoming]:
        try:
            found = await self._consumer.getmany(timeout_ms=100, max_records=_FETCH_RECORDS)
            if not found:
                await self._rewind_new_logs()
        except KafkaError as error:
            raise BrokerError(f"{self._bootstrap} gives no records: {error!r}") from error
        return [
            Incoming(record.topic, record.partition, record.offset, record.key, record.value, record.headers)
            for records in found.values()
            for record in records
        ]

    async def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def _rewind_new_logs(self) -> None:
        """A log that ends before its position is another log than the one that was read.

        One that has grown past the position again cannot be told from the old one; only brokers that keep nothing,
        such as the embedded one, make logs anew while services run.
        """
        for place in self._consumer.assignment():
            end = self._consumer.highwater(place)
            if end is not None and await self._consumer.position(place) > end:
                _logger.warning("%s was made anew; reading it from the beginning", place)
                self._consumer.seek(place, 0)


def _configuration(topic: Topic) -> dict[str, str]:
    return {"cleanup.policy": "compact"} if topic.compacted else {}


def _seen(answer: asyncio.Future[Any]) -> None:
    """Nobody may be left to ask for the exception of an answer that was given up."""
    if not answer.cancelled():
        answer.exception()


async def _abandon(producer: Any) -> None:
    """Stops a producer without waiting for what the broker never answered; that is still in the outbox.

    Its own `stop()` flushes first, which takes for ever while the broker is away, and aiokafka offers no other way:
    so this does the rest of what `stop()` does.
    """
    sender = producer._sender.sender_task
    if sender is not None:
        sender.cancel()  # it waits for the answer to what is on its way
        if (await asyncio.wait([sender], timeout=_STOPPED_WITHIN_S))[1]:
            sender.cancel()  # now it does not
            await asyncio.wait([sender])
    producer._closed = True
    await producer.client.close()
