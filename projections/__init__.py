"""Floor 1: read models in Redis, kept fed from Kafka. Here are the names an author of a read model needs, and no others."""

from projections.declare import Event, Index, Part, Personal, Projection, View, replace

__all__ = ["Event", "Index", "Part", "Personal", "Projection", "View", "replace"]
