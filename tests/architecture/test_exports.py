"""The two packages that authors import export exactly the authoring names."""

from types import ModuleType
from typing import Final

import pytest

import projections
import schema
from tests.architecture.pages import DOCS

AUTHORING_NAMES: Final = {
    "projections": {
        "Entry", "Event", "Index", "Measure", "Part", "Personal", "Projection", "Timeline", "View", "replace",
    },
    "schema": {
        "Activity", "BoundedContext", "Connection", "Example", "Info", "Input", "Ref", "RowRule", "command", "computed",
        "entity", "extension", "field", "find", "get", "many", "measure", "one", "part", "timeline",
    },
}  # fmt: skip


@pytest.mark.parametrize("package", [projections, schema], ids=lambda package: str(package.__name__))
def test_exports_are_the_authoring_names(package: ModuleType) -> None:
    wanted = AUTHORING_NAMES[package.__name__]
    assert sorted(package.__all__) == sorted(wanted)
    public = {
        name
        for name, value in vars(package).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "annotations"
    }
    assert public == wanted


@pytest.mark.parametrize("package", sorted(AUTHORING_NAMES))
def test_every_authoring_name_has_its_place_in_the_reference(package: str) -> None:
    page = (DOCS / "reference" / "authoring.md").read_text(encoding="utf-8")
    headings = [line for line in page.splitlines() if line.startswith("#")]
    missing = {name for name in AUTHORING_NAMES[package] if not any(f"`{name}`" in line for line in headings)}
    assert missing == set()
