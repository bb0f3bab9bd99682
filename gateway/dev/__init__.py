"""Servers and processes for development: the real Valkey and Kafka-protocol servers from wheels, and the supervisor of `make run`.

Nothing here is imported by the serving path; a production image can leave this folder out.
"""
