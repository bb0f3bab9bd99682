"""The read models: one file per bounded context, pure."""
