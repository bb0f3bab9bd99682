"""What the documentation lists is what the code has: settings, error codes, metrics, words."""

from __future__ import annotations

import dataclasses
import re
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, Final, get_args

import pytest

import gateway.consistency.operation
import gateway.errors
import gateway.telemetry
import projections
import projections.errors
import projections.record
import projections.store.change
import projections.telemetry
import schema
import schema.errors
import schema.telemetry
from examples.shop import settings as shop_settings
from gateway.consistency.operation import OnTimeout
from gateway.settings import GatewaySettings
from projections.settings import GATEWAY_NAMES, Setting, WorkerSettings, described
from projections.telemetry import Metric
from tests.architecture.pages import DOCS, README, codes, prose, rows
from tests.architecture.tree import FLOORS, named, python_files

SETTINGS_PAGE: Final = DOCS / "reference" / "settings.md"
TELEMETRY_PAGE: Final = DOCS / "reference" / "telemetry.md"
GLOSSARY: Final = DOCS / "glossary.md"


# -- settings ---------------------------------------------------------------------------------------------------------


def setting_row(name: str, about: Setting, default: Any) -> list[str]:
    """A row of the settings page."""
    if default is dataclasses.MISSING:
        shown = "required"
    elif isinstance(default, bool):
        shown = f"`{int(default)}`"
    else:
        shown = f"`{default}`" if default not in ((), "") else "none"
    names = f"`{name}`, `{name}_FILE`" if about.secret else f"`{name}`"
    return [names, about.kind.name, shown, about.help]


@pytest.mark.parametrize(
    ("heading", "settings"), [("## The projector", WorkerSettings), ("## The gateway", GatewaySettings)]
)
def test_settings_are_described_as_they_are(heading: str, settings: type[Any]) -> None:
    wanted = [setting_row(name, *about) for name, about in described(settings).items()]
    found = rows(SETTINGS_PAGE, heading)
    pasted = "\n".join(f"| {' | '.join(row)} |" for row in wanted)
    assert found == wanted, f"below {heading!r} there should be:\n{pasted}"


def test_the_shops_settings_are_all_there() -> None:
    source = Path(shop_settings.__file__).read_text(encoding="utf-8")
    wanted = {f"SHOP_{name}" for name in re.findall(r'^        "([A-Z_]+)",$', source, re.MULTILINE)}
    assert len(wanted) >= 8
    found = {name for row in rows(SETTINGS_PAGE, "## The shop") for name in codes(row[0])}
    assert found == wanted


def test_every_variable_that_the_code_names_is_on_the_page() -> None:
    known = set(codes(prose(SETTINGS_PAGE)))
    named_in_code = {
        (named(path), name)
        for path in python_files(*FLOORS, "examples", "benchmarks", "tools")
        for name in re.findall(r"\bHEADRACE_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8"))
    }
    assert {(path, name) for path, name in named_in_code if name not in known} == set()


def test_each_process_knows_the_names_of_the_other() -> None:
    """One environment may serve both: neither refuses what the other reads."""
    only_the_gateways = described(GatewaySettings).keys() - described(WorkerSettings).keys()
    assert set(GATEWAY_NAMES) == only_the_gateways


def test_a_setting_that_both_read_is_read_alike() -> None:
    worker, gateways = described(WorkerSettings), described(GatewaySettings)
    for name in worker.keys() & gateways.keys():
        (about, default), (other, other_default) = worker[name], gateways[name]
        assert (about.kind.name, about.secret, default) == (other.kind.name, other.secret, other_default), name


# -- errors -----------------------------------------------------------------------------------------------------------

CODES: Final = sorted({*gateway.errors.CODES.values(), gateway.errors.INTERNAL})
PARTS: Final = ("## What it means", "## Who acts", "## Example", "## The mend")


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    found = sorted(path.stem for path in (DOCS / "errors").glob("*.md") if path.stem != "README")
    assert found == CODES


@pytest.mark.parametrize("code", CODES)
def test_a_page_says_what_who_and_how(code: str) -> None:
    page = (DOCS / "errors" / f"{code}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {code}\n")
    places = [page.find(f"\n{part}\n") for part in PARTS]
    assert -1 not in places, dict(zip(PARTS, places, strict=True))
    assert places == sorted(places)
    example = page[places[2] : places[3]]
    assert f'"code": "{code}"' in example


def test_the_list_of_codes_is_whole() -> None:
    listed = [codes(row[0])[0] for row in rows(DOCS / "errors" / "README.md")]
    assert sorted(listed) == CODES


@pytest.mark.parametrize("tree", [projections.errors, schema.errors, gateway.errors], ids=lambda m: str(m.__name__))
def test_the_drawing_of_an_error_tree_is_the_tree(tree: ModuleType) -> None:
    drawn = re.findall(r"\b[A-Z]\w*Error\b", tree.__doc__ or "")
    defined = [
        name
        for name, value in vars(tree).items()
        if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == tree.__name__
    ]
    assert sorted(drawn) == sorted(defined)


# -- telemetry --------------------------------------------------------------------------------------------------------


def metric_row(metric: Metric) -> list[str]:
    attributes = ", ".join(f"`{name}`" for name in metric.attributes) or "none"
    return [f"`{metric.name}`", metric.kind, f"`{metric.unit}`", attributes, metric.description]


@pytest.mark.parametrize(
    ("heading", "module"),
    [("## The projector's metrics", projections.telemetry), ("## The gateway's metrics", gateway.telemetry)],
)
def test_metrics_are_described_as_they_are(heading: str, module: ModuleType) -> None:
    declared = [value for value in vars(module).values() if isinstance(value, Metric)]
    assert list(module.METRICS) == declared, "the catalogue leaves one out"
    wanted = [metric_row(metric) for metric in declared]
    pasted = "\n".join(f"| {' | '.join(row)} |" for row in wanted)
    assert rows(TELEMETRY_PAGE, heading) == wanted, f"below {heading!r} there should be:\n{pasted}"


def test_attributes_of_the_graph_are_all_there() -> None:
    listed = [codes(row[0])[0] for row in rows(TELEMETRY_PAGE, "## The graph's attributes")]
    assert listed == list(schema.telemetry.ATTRIBUTES)


def test_metric_names_are_their_owners_alone() -> None:
    names = [metric.name for module in (projections.telemetry, gateway.telemetry) for metric in module.METRICS]
    assert len(names) == len(set(names))


# -- words ------------------------------------------------------------------------------------------------------------

WORDS: Final = (
    "Event", "Record", "Decoded", "Ignored", "Poison", "Projection", "evolve", "View", "Index", "ChangeSet", "Position",
    "Generation", "Quarantine", "Rebuild", "Reconcile", "Drift", "Bounded context", "Edge", "Command", "Receipt",
    "Consistency token", "Requirement", "Watermark", "Lag", "Staleness", "wait budget", "Drain", "Plan", "Fetch", "Shape",
)  # fmt: skip
"""The design's words."""


def glossary() -> set[str]:
    return {row[0].strip("*") for row in rows(GLOSSARY)}


def test_the_designs_words_are_in_the_glossary() -> None:
    assert set(WORDS) - glossary() == set()


def test_words_that_the_code_says_are_in_the_glossary() -> None:
    outcomes = [kind.__name__ for kind in get_args(projections.record.Outcome)]
    answers = [kind.__name__ for kind in get_args(projections.store.change.ApplyOutcome)]
    values = [name for name in (*projections.__all__, *schema.__all__) if name[0].isupper()]
    policies = [policy.value for policy in OnTimeout if isinstance(policy, Enum)]
    said = {*outcomes, *answers, *values, *policies, "Bucket", "Document", "Notice", "Page", "Row", "Principal", "Trip"}
    assert {word for word in said if word not in glossary()} == set()


def test_the_glossary_is_sorted_and_says_each_word_once() -> None:
    words = [row[0].strip("*") for row in rows(GLOSSARY)]
    assert words == sorted(set(words), key=str.lower)


def test_every_reason_for_an_unmet_requirement_is_explained() -> None:
    source = Path(gateway.consistency.operation.__file__).read_text(encoding="utf-8")
    policies = {policy.value for policy in OnTimeout}
    reasons = set(re.findall(r'"([A-Z]{2,}(?:_[A-Z]+)*)"', source)) - policies
    assert {"LAG", "EXPIRED"} <= reasons
    explained = {codes(row[0])[0] for row in rows(DOCS / "reference" / "http.md", "## Consistency") if codes(row[0])}
    assert reasons - explained == set()


def test_a_cause_of_the_quarantine_is_explained() -> None:
    operations = (DOCS / "guides" / "operations.md").read_text(encoding="utf-8")
    assert {cause for cause in projections.record.CAUSES if f"`{cause}`" not in operations} == set()


def test_makes_targets_are_in_the_readme() -> None:
    phony = re.search(r"^\.PHONY: (.+)$", (README.parent / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert phony
    said = " ".join(codes(prose(README)))
    missing = [target for target in phony.group(1).split() if not re.search(rf"\bmake {target}\b", said)]
    assert missing == ["lint", "lock", "clean"], "name it in the README, or in CONTRIBUTING.md and here"
    contributing = (README.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [target for target in missing if f"`make {target}`" not in contributing] == []
