"""Where records come from: the port, its adapter for Kafka, and its in-memory twin."""
