"""Implementations of the ports: one module a store, a bus or a presence, and nothing that decides."""
