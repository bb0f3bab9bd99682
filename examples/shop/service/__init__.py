"""The kit of a write service: what the five contexts of the shop share, and nothing that knows a business rule.

The flow of one command, file by file: `app` (HTTP) -> `headers`, `inputs` (what was asked) -> `commands` (one
transaction) -> the context's decision -> `aggregates` (state and version) -> `outbox` -> `relay` -> `kafka`.
The flow of one event from another service: `kafka` -> `listen` -> the context's `remember` and `react`.
"""
