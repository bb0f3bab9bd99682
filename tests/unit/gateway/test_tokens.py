"""The consistency token: one spelling, one audience, rotating keys; requirements merge as a join."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.consistency.requirements import (
    BUDGET_BYTES,
    MAX_REQUIREMENTS,
    Aggregate,
    Required,
    Requirements,
    require,
)
from gateway.consistency.token import TokenCodec
from gateway.errors import BadTokenError

NOW_S = int(time.time())
CODEC = TokenCodec({"new": b"n" * 32, "old": b"o" * 32}, "shop")
ONE = Requirements({Aggregate("orders", "order", "o-1"): Required(0, 3, NOW_S)})

names = st.builds(
    Aggregate,
    st.sampled_from(["orders", "payments"]),
    st.just("order"),
    (st.text("ab", min_size=1, max_size=6) | st.text("ab", min_size=150, max_size=230)),
)
required = st.builds(Required, st.integers(0, 3), st.integers(1, 2**31 - 1), st.integers(0, 2**33))
requirements = st.dictionaries(names, required, max_size=40).map(lambda found: require(found.items()))


def test_what_is_minted_is_read() -> None:
    assert CODEC.read(CODEC.mint(ONE)) == ONE
    assert CODEC.read(CODEC.mint(Requirements())) == Requirements()


@given(requirements)
def test_round_trip(found: Requirements) -> None:
    token = CODEC.mint(found)
    assert CODEC.read(token) == found
    assert token.isascii()
    assert not set(token) & set(" /+=?&#%\"'\\")


@settings(max_examples=300)
@given(requirements, requirements, requirements)
def test_merge_is_a_join_also_at_the_bound(a: Requirements, b: Requirements, c: Requirements) -> None:
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(a) == a
    merged = a.merge(b)
    assert merged.merge(a) == merged, "monotone: nothing that was asked for is asked for less"
    assert merged.truncated >= max(a.truncated, b.truncated)


def test_a_token_stays_small_and_says_when_it_dropped_something() -> None:
    many = require((Aggregate("orders", "order", f"o-{n:032}"), Required(3, 2**31 - 1, NOW_S)) for n in range(100))
    assert many.truncated
    assert len(many.of) <= MAX_REQUIREMENTS
    assert len(CODEC.mint(many)) <= (BUDGET_BYTES + 100) * 4 / 3
    assert many.merge(ONE).truncated, "truncated absorbs"


def test_every_flipped_bit_is_refused() -> None:
    token = CODEC.mint(ONE).encode()
    for position in range(len(token)):
        for bit in range(8):
            forged = bytearray(token)
            forged[position] ^= 1 << bit
            with pytest.raises(BadTokenError):
                CODEC.read(forged.decode("latin-1"))


@pytest.mark.parametrize(
    "token", ["", ".", "..", "new..", "a.b.c", "new.AAAA.AAAA", "x" * 5000, "new.é.é", "nëw.AA.AA", "\x00.\x00.\x00"]
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(BadTokenError):
        CODEC.read(token)


def test_random_texts_are_refused() -> None:
    chance = random.Random(7)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
    for _ in range(5000):
        text = "".join(chance.choices(alphabet, k=chance.randrange(1, 120)))
        with pytest.raises(BadTokenError):
            CODEC.read(f"new.{text}")


def test_keys_rotate_and_audiences_do_not_mix() -> None:
    before = TokenCodec({"old": b"o" * 32}, "shop").mint(ONE)
    assert CODEC.read(before) == ONE, "an old key is still read"
    after = CODEC.mint(ONE)
    assert after.startswith("new.")
    with pytest.raises(BadTokenError):
        TokenCodec({"old": b"o" * 32}, "shop").read(after)
    with pytest.raises(BadTokenError):
        TokenCodec({"new": b"n" * 32}, "another").read(after)
    with pytest.raises(BadTokenError, match="not a consistency token"):
        CODEC.read(after.replace("new.", "old.", 1))


def test_weak_keys_are_refused() -> None:
    for keys in ({}, {"k": b"short"}, {"a b": b"x" * 32}):
        with pytest.raises(ValueError, match="32 bytes"):
            TokenCodec(keys, "shop")
