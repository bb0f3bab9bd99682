"""Records that the library cannot decode: told with their place, while those around them come as they are."""

import logging
import struct

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.record.util import calc_crc32c

from gateway.dev.servers import EmbeddedKafka
from projections.log import reading
from projections.log.port import Partition
from projections.log.salvage import read, salvage
from tests.contract.log.batches import GZIP, NONE, Item, NotUtf8, based_at, produce, record_set
from tests.contract.log.conftest import fetched, kafka_log, started

WITHIN_S = 10.0
AT = TopicPartition("t", 0)


def good(n: int) -> Item:
    return b"k", b"%d" % n, [("ce_type", b"x"), ("none", None)]


def evil(n: int) -> Item:
    return b"k", b"%d" % n, [("ce_type", b"x"), (NotUtf8("x"), b"y")]


async def made(bootstrap: str, topic: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, partitions, 1)])
    await admin.close()


@pytest.mark.parametrize(("codec", "max_records"), [(NONE, 500), (GZIP, 2)])
async def test_a_header_name_that_is_not_utf_8_spoils_one_record(
    kafka: EmbeddedKafka, unique: str, codec: int, max_records: int, caplog: pytest.LogCaptureFixture
) -> None:
    await made(kafka.bootstrap, unique, 2)
    await produce(kafka.bootstrap, unique, 0, record_set([good(0), evil(1), good(2)], codec=codec))
    await produce(kafka.bootstrap, unique, 0, record_set([good(3), evil(4)], codec=codec))
    await produce(kafka.bootstrap, unique, 0, record_set([good(5)], codec=codec))
    await produce(kafka.bootstrap, unique, 1, record_set([good(0), good(1)], codec=codec))
    log = kafka_log(kafka.bootstrap)
    try:
        await started(log, {Partition(unique, 0): 0, Partition(unique, 1): 0})
        found = await fetched(log, 8, max_records)
        await produce(kafka.bootstrap, unique, 0, record_set([good(6)], codec=codec))
        found += await fetched(log, 1)
    finally:
        await log.close()
    first = [record for record in found if record.partition == 0]
    assert [(record.offset, record.value) for record in first] == [(n, b"%d" % n) for n in range(7)]
    assert [record.offset for record in first if record.fault] == [1, 4]
    assert [record.offset for record in found if record.partition == 1] == [0, 1]
    assert first[0].headers == (("ce_type", b"x"), ("none", None))
    assert first[1].headers == (("ce_type", b"x"), ("\\xff\\xfe", b"y"))
    assert (first[1].key, first[1].timestamp_ms) == (b"k", 1_001)
    assert f"{unique}/0/1 cannot be read whole: header name b'\\xff\\xfe' is not UTF-8" in caplog.text


async def test_resuming_in_the_middle_of_a_spoilt_record_set(kafka: EmbeddedKafka, unique: str) -> None:
    await made(kafka.bootstrap, unique, 1)
    await produce(kafka.bootstrap, unique, 0, record_set([good(0), evil(1), good(2), good(3)]))
    log = kafka_log(kafka.bootstrap)
    try:
        await started(log, {Partition(unique, 0): 2})
        assert [record.offset for record in await fetched(log, 2)] == [2, 3]
        await started(log, {Partition(unique, 0): 1})
        assert [record.offset for record in await fetched(log, 3)] == [1, 2, 3]
    finally:
        await log.close()


def test_a_record_set_with_a_broken_checksum_is_not_stepped_over() -> None:
    first, second = record_set([good(0), good(1)]), bytearray(based_at(record_set([good(2)]), 2))
    second[-1] ^= 1
    found = read(AT, bytes(first) + bytes(second), None, 0, 10)
    assert [record.offset for record in found.records] == [0, 1]
    assert found.next == 2
    assert found.corrupt is not None
    assert "CRC" in found.corrupt
    again = read(AT, bytes(second), None, 2, 10)
    assert (again.records, again.next) == ([], 2)


def with_checksum(data: bytearray) -> bytes:
    struct.pack_into(">I", data, 17, calc_crc32c(bytes(data[21:])))
    return bytes(data)


def test_a_record_of_broken_structure_is_given_up_whole_and_the_next_is_read() -> None:
    data = record_set([(b"k", b"v", [("name", b"x")]), good(1)])
    place = data.index(b"name") - 1
    assert data[place] == 8, "the length of the name, as a varint"
    data[place] = 120
    found = read(AT, with_checksum(data), None, 0, 10)
    assert [record.offset for record in found.records] == [0, 1]
    assert found.records[0].fault
    assert b"name" in (found.records[0].value or b"")
    assert found.records[1].fault is None


def test_a_frame_that_leaves_its_record_set_is_not_guessed_at() -> None:
    data = record_set([good(0), good(1)])
    data[61] = 0x7E  # the first record's length
    found = read(AT, with_checksum(data), None, 0, 10)
    assert (found.records, found.next) == ([], 0)
    assert found.corrupt


def test_the_last_record_set_may_be_cut_off() -> None:
    whole, cut = record_set([good(0)]), based_at(record_set([good(1)]), 1)[:-5]
    found = read(AT, bytes(whole) + cut, None, 0, 10)
    assert ([record.offset for record in found.records], found.next, found.corrupt) == ([0], 1, None)


async def test_a_corrupt_partition_waits_loudly_while_others_go_on(
    kafka: EmbeddedKafka, unique: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker checks what it is given, so the checksum is made to fail here."""
    await made(kafka.bootstrap, unique, 2)
    await produce(kafka.bootstrap, unique, 0, record_set([evil(0), good(1)]))
    await produce(kafka.bootstrap, unique, 1, record_set([evil(0), good(1)]))
    real = salvage

    async def corrupting(client: object, at: TopicPartition, offset: int, limit: int) -> object:
        found = await real(client, at, offset, limit)
        return found if at.partition else found._replace(records=[], next=offset, corrupt="Invalid CRC")

    monkeypatch.setattr(reading, "salvage", corrupting)
    log = kafka_log(kafka.bootstrap)
    try:
        await started(log, {Partition(unique, 0): 0, Partition(unique, 1): 0})
        assert [(record.partition, record.offset) for record in await fetched(log, 2)] == [(1, 0), (1, 1)]
        await log.fetch(max_records=10, wait_ms=10)
        monkeypatch.setattr(reading, "salvage", real)
        assert [(record.partition, record.offset) for record in await fetched(log, 2)] == [(0, 0), (0, 1)]
    finally:
        await log.close()
    told = [record for record in caplog.records if record.levelno == logging.ERROR and "corrupt" in record.message]
    assert len(told) == 1
    assert f"{unique}/0/0 (Invalid CRC); nothing is skipped" in told[0].message
