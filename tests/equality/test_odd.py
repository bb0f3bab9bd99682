"""What the shop's graph does not have: floats, booleans, parts in parts, computed fields, code; the executors alone."""

import pytest

from tests.chaos.simulated import simulate
from tests.equality.generate import Generated
from tests.equality.pair import Pair, pair_of, play_pair

pytestmark = pytest.mark.filterwarnings(
    "ignore:coroutine .* was never awaited",
    "ignore:Exception ignored in. <coroutine object:pytest.PytestUnraisableExceptionWarning",
)
"""graphql-core leaves what it has begun beside a field that failed; where the collector meets that in a frame without builtins (a
named tuple's), the warning itself cannot be made, which is told in its place.
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_both_executors_give_one_answer(seed: int) -> None:
    pair, told = simulate(play_pair(seed, 250), seed)
    assert not told, f"\n{told[0]}"
    assert pair.planned > 0.8 * pair.played


PINNED = [
    pytest.param("{ odds { edges { cursor @skip(if: true) } } }", id="edges of which nothing is left"),
    pytest.param("{ odds { edges { node { f0 @skip(if: true) } } } }", id="nodes of which nothing is left"),
    pytest.param("{ odds { nodes { twin { key } twinUpper } } }", id="an edge, and what is computed of its key"),
    pytest.param("{ odds { nodes { twinUpper twin { key } } } }", id="what is computed of a key, and its edge"),
    pytest.param("{ odds { nodes { f0 names } } }", id="a field, and what is computed of it"),
    pytest.param("{ odds { nodes { spare { f0: knob { f0 } knob { other } } } } }", id="a part twice"),
    pytest.param(
        "{ odds { nodes { spare { f0: knob { __typename } knob { __typename } } } } }", id="types of a part twice"
    ),
    pytest.param("{ odds { nodes { a: lids { data } lids { knob { other } data } } } }", id="a list of parts twice"),
    pytest.param(
        "{ odds { nodes { p0: spare { knob { None: f0 } } spare { knob { other f0 } } } } }",
        id="a part of a part twice",
    ),
    pytest.param("{ odds { nodes { opposite } } }", id="a computed enum"),
    pytest.param("{ odds { nodes { half } } }", id="a computed field that fails"),
    pytest.param("{ odds { nodes { maybe wrongly } } }", id="a computed null where none may be"),
    pytest.param("{ odds { nodes { tomorrow moods sizes latest smallest d0 p0 } } }", id="values of many types"),
    pytest.param("{ odds { nodes { d0: f0 f0: key key: d0 } } }", id="fields that swap their names"),
    pytest.param(
        "{ a: most(decade: 0) firstDay(isOn: true) counted(mood: BAD) }", id="numbers by enum, flag and number"
    ),
    pytest.param("{ counted(mood: GOOD) countedExactly(mood: GOOD) }", id="a total that may pass 32 bits"),
    pytest.param("{ odds { nodes { shout twins { key } owned { totalCount } } } }", id="a field with code"),
]


@pytest.mark.parametrize("text", PINNED)
def test_an_operation_that_once_differed_or_well_might(text: str) -> None:
    async def play() -> list[str]:
        async with pair_of(1) as pair:
            return await judged(pair, text)

    assert simulate(play(), 1) == []


async def judged(pair: Pair, text: str) -> list[str]:
    return await pair.told(Generated(text, None, None))
