"""Where read models are kept: the port, its adapter for Redis, its in-memory twin, and the names of all keys."""
