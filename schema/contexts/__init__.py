"""The graph: one file per bounded context."""
