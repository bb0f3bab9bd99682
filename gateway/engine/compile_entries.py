"""Compiles what is selected of a timeline's entries: Activity, which is stored as a Happening.

Invariants: as for entities (compile_objects.py); `lineage` is an object of the graph whose fields are stored flat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from graphql import FieldNode

from gateway.engine.drafts import Draft, Slot
from gateway.engine.objects import Child, Grouped, ObjectPlan
from gateway.engine.select import Selector
from gateway.engine.shapes import In, out_struct, picker
from projections.timeline import Happening

_ACTIVITY: Final = {
    "what": "what",
    "when": "at",
    "type": "type",
    "subject": "subject",
    "correlationId": "correlation_id",
}
"""Fields of Activity by the names in a Happening."""
_LINEAGE: Final = {"topic": "topic", "partition": "partition", "offset": "offset", "eventId": "event_id"}


def compile_entry(
    selector: Selector, children: dict[type[Any], Sequence[Child]], nodes: Sequence[FieldNode]
) -> ObjectPlan:
    """An entry of a timeline."""
    draft = Draft(In(Happening), prefix="")
    for response, selected in selector.below("Activity", nodes).items():
        name = selected[0].name.value
        if name == "__typename":
            draft.add(Slot(response, draft.read.own(response), selected, constant="Activity"))
        elif name == "lineage":
            grouped = _lineage(selector, draft.read, selected)
            source = draft.read.own(response)
            draft.add(Slot(response, source, selected, grouped=grouped))
        else:
            draft.add(Slot(response, draft.read.own_leaf(_ACTIVITY[name]), selected))
    plan = draft.finish(children)
    assert isinstance(plan, ObjectPlan)  # noqa: S101 - a draft with a prefix is one
    return plan


def _lineage(selector: Selector, read: In, nodes: Sequence[FieldNode]) -> Any:
    selected = selector.below("Lineage", nodes)
    sources: list[str] = []
    constants: list[tuple[str, str]] = []
    for response, below in selected.items():
        name = below[0].name.value
        if name == "__typename":
            constants.append((f"f{len(sources)}", "Lineage"))
            sources.append(read.own(response))
        else:
            sources.append(read.own_leaf(_LINEAGE[name]))
    out, pick = out_struct(tuple(selected)), picker(tuple(sources))
    return lambda at: Grouped(at, out, pick, constants)
