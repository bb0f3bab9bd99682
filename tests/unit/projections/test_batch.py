"""Cutting decoded records into slices."""

from msgspec.structs import replace

from projections.batch import MAX_ITEMS, MAX_RECORDS, Cutter
from projections.decode import Decoder
from projections.log.port import Partition
from projections.record import Moment, Outcome, Poison
from projections.store.keys import bucket_of
from tests.slices import slices
from tests.unit.projections.samples import carts, record

decode = Decoder(carts).decode
AT = Partition("shop.carts", 0)


def outcomes(count: int, ids: int) -> list[Outcome]:
    return [decode(record(id=f"c-{n % ids}", version=n // ids + 1, offset=n)) for n in range(count)]


def test_nothing_is_no_slice() -> None:
    assert list(slices([], 3)) == []


def test_a_slice_has_at_most_so_many_aggregates_per_bucket_and_keeps_the_order() -> None:
    batch = outcomes(1_000, 450)
    for buckets in (1, 4):
        cut = list(slices(batch, buckets))
        assert [outcome for part in cut for outcome in sorted_by_offset(part.by_bucket)] == batch
        for part in cut:
            for number, share in part.by_bucket.items():
                assert len({outcome.id for outcome in share if not isinstance(outcome, Poison)}) <= MAX_ITEMS  # type: ignore[union-attr]
                assert all(bucket_of(outcome.record.key.decode(), buckets) == number for outcome in share)  # type: ignore[union-attr]
        assert cut[-1].next == {AT: 1_000}
    assert len(list(slices(batch, 1))) > len(list(slices(batch, 4)))


def sorted_by_offset(by_bucket: dict[int, list[Outcome]]) -> list[Outcome]:
    return sorted(
        (outcome for share in by_bucket.values() for outcome in share), key=lambda outcome: outcome.record.offset
    )


def test_many_events_of_few_aggregates_are_one_slice() -> None:
    [part] = slices(outcomes(1_000, 200), 1)
    assert len(part.by_bucket[0]) == 1_000


def test_poison_of_no_aggregate_counts_each_and_goes_to_the_bucket_of_its_key() -> None:
    batch = [decode(record(id="c-1", version=0, offset=n)) for n in range(MAX_ITEMS + 1)]
    cut = list(slices(batch, 8))
    assert [len(part.by_bucket[bucket_of("c-1", 8)]) for part in cut] == [MAX_ITEMS, 1]
    assert [part.next for part in cut] == [{AT: MAX_ITEMS}, {AT: MAX_ITEMS + 1}]


def test_poison_of_an_aggregate_goes_where_the_aggregate_is() -> None:
    batch: list[Outcome] = [decode(record(id="c-1", data=b"{", offset=n)) for n in range(MAX_ITEMS + 1)]
    [part] = slices(batch, 8)
    assert part.by_bucket == {bucket_of("c-1", 8): batch}


def test_a_moment_goes_to_the_bucket_of_its_timeline() -> None:
    batch: list[Outcome] = [
        Moment("c-1", f"e-{n}", 1_000 + n, b"", b"", record(id=f"o-{n}", offset=n)) for n in range(MAX_ITEMS + 1)
    ]
    cut = list(slices(batch, 8))
    assert [part.by_bucket for part in cut] == [
        {bucket_of("c-1", 8): batch[:MAX_ITEMS]},
        {bucket_of("c-1", 8): batch[MAX_ITEMS:]},
    ]
    assert cut[-1].time_ms == {AT: 1_000 + MAX_ITEMS}


def test_what_is_of_no_bucket_moves_the_position_only() -> None:
    [part] = slices([decode(record(aggregate="basket", offset=4))], 2)
    assert (part.by_bucket, part.next) == ({}, {AT: 5})


def test_the_newest_event_time_counts() -> None:
    times = ["2024-05-01T12:00:00Z", "2024-05-03T12:00:00Z", "2024-05-02T12:00:00Z"]
    [part] = slices([decode(record(id=f"c-{n}", time=time, offset=n)) for n, time in enumerate(times)], 1)
    assert part.time_ms == {AT: 1_714_737_600_000}


def test_a_slice_goes_on_from_batch_to_batch_until_it_is_full() -> None:
    batch = outcomes(MAX_ITEMS + 30, MAX_ITEMS + 30)
    cutter = Cutter(1)
    assert cutter.add(batch[:150]) == []
    assert cutter.holds
    [full] = cutter.add(batch[150:])
    assert (full.by_bucket, full.next) == ({0: batch[:MAX_ITEMS]}, {AT: MAX_ITEMS})
    rest = cutter.rest()
    assert rest is not None
    assert (rest.by_bucket, rest.next) == ({0: batch[MAX_ITEMS:]}, {AT: MAX_ITEMS + 30})
    assert cutter.rest() is None


def test_a_slice_of_several_batches_has_no_more_than_so_many_records() -> None:
    batch = outcomes(MAX_RECORDS + 500, 10)
    cutter = Cutter(1)
    cut = [part for first in range(0, len(batch), 300) for part in cutter.add(batch[first : first + 300])]
    rest = cutter.rest()
    assert rest is not None
    sizes = [len(part.by_bucket[0]) for part in (*cut, rest)]
    assert max(sizes) <= MAX_RECORDS < sum(sizes) == len(batch)
    assert len(sizes) == 2


def test_runs_of_partitions_each_go_on_behind_their_last() -> None:
    places = [(0, 5), (0, 6), (1, 9), (0, 7), (1, 10)]
    batch = [
        decode(replace(record(id=f"c-{n}", offset=offset), partition=number))
        for n, (number, offset) in enumerate(places)
    ]
    [part] = slices(batch, 1)
    assert part.next == {AT: 8, Partition("shop.carts", 1): 11}
