"""Contexts in, one Strawberry schema out; a clash raises (schema/model says which, where and how to mend)."""

from gateway.compose.schema import Composed, compose

__all__ = ["Composed", "compose"]
