"""The list of guards is that of the code: each text is where it should be, once, and the tests that it names are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.guards import GUARDS, Guard
from tests.chaos.mutants import ROOT, mutated


def named(guard: Guard) -> str:
    return guard.name


@pytest.mark.parametrize("guard", GUARDS, ids=named)
def test_a_guard_is_where_the_list_says(guard: Guard) -> None:
    text = (ROOT / guard.file).read_text(encoding="utf-8")
    changed = mutated(text, guard)
    assert changed != text
    if guard.file.endswith(".py"):
        compile(changed, guard.file, "exec")
    for tests in guard.tests:
        assert (ROOT / tests.split()[0].partition("::")[0]).exists()


def test_every_guard_has_a_name_of_its_own() -> None:
    assert len({guard.name for guard in GUARDS}) == len(GUARDS)


def test_a_text_that_is_not_there_once_is_told() -> None:
    guard = GUARDS[0]
    with pytest.raises(ValueError, match=guard.name):
        mutated("nothing", guard)
    with pytest.raises(ValueError, match="2 times"):
        mutated(guard.text * 2, guard)


def test_the_copy_that_is_mutated_has_what_the_tests_need(tmp_path: Path) -> None:
    from tests.chaos.mutants import copy_tree

    tree = copy_tree(tmp_path)
    assert (tree / GUARDS[0].file).exists()
    assert (tree / "tests" / "conftest.py").exists()
