"""What is told instead of something that cannot be shown."""

from __future__ import annotations

from projections.errors import RebuildingError, StoreMisconfiguredError


def rebuilding(key: str) -> RebuildingError:
    """Told instead of what is not there, yet or any more."""
    return RebuildingError(f"what {key!r} is part of is being rebuilt from the log")


def not_ours(key: str | bytes) -> StoreMisconfiguredError:
    """Told instead of what cannot be read."""
    return StoreMisconfiguredError(f"at {key!r} is something that Headrace did not write")
