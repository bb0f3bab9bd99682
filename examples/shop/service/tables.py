"""The tables of a write service, the same in SQLite and PostgreSQL; each service has a database of its own.

- `aggregates`: one row per aggregate. The version is the number of its facts in this epoch; the row outlives the
  aggregate (`state` null), so that no version is used twice.
- `outbox`: facts that are committed and not yet acknowledged by the broker, in the order of `seq`. Facts of one
  aggregate are in version order because its row is locked while they are written.
- `answers`: the first answer to each idempotency key.
- `claims`: names that at most one aggregate may hold.
- `replicas`, `positions`: what is kept of other services' aggregates, and the next record to read of their topics.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table

metadata = MetaData()

# SQLite only counts up by itself in a column that is called INTEGER, which there holds 64 bits as well.
_Sequence = BigInteger().with_variant(Integer(), "sqlite")

aggregates = Table(
    "aggregates",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", LargeBinary, nullable=True),
)

claims = Table(
    "claims",
    metadata,
    Column("name", String(256), primary_key=True),
    Column("aggregate_id", String(128), nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("aggregate", String(32), nullable=False),
    Column("key", String(128), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("type", String(128), nullable=False),
    Column("time", String(32), nullable=False),
    Column("data", LargeBinary, nullable=True),
    Column("correlation_id", String(256), nullable=True),
    Column("causation_id", String(256), nullable=True),
    Column("traceparent", String(64), nullable=True),
    # A seq is never given out again, also not after the table was emptied: it is the order of publication.
    sqlite_autoincrement=True,
)

answers = Table(
    "answers",
    metadata,
    Column("command_id", String(256), primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("status", Integer, nullable=False),
    Column("aggregate_version", String(512), nullable=True),
    Column("body", LargeBinary, nullable=False),
    Column("answered_at", BigInteger, nullable=False),
    Index("answers_by_age", "answered_at"),
)

replicas = Table(
    "replicas",
    metadata,
    Column("aggregate", String(32), primary_key=True),
    Column("id", String(128), primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("kept", LargeBinary, nullable=True),
)

positions = Table(
    "positions",
    metadata,
    Column("topic", String(128), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
)
