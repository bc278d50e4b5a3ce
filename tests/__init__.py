"""The tests. A package, so that an installed package of the same name cannot hide `tests.servers`."""
