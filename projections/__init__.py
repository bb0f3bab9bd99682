"""Floor 1: read models in Redis, kept fed from Kafka. Here are the names an author of a read model needs, and no others."""

from projections.declare import Event, Index, Part, Personal, Projection, View, replace
from projections.measure import Measure
from projections.timeline import Entry, Timeline

__all__ = ["Entry", "Event", "Index", "Measure", "Part", "Personal", "Projection", "Timeline", "View", "replace"]
