"""Forwarding commands to the services that own the data."""
