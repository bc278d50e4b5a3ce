"""Invariants of what is found beside the frames: reads in between, fresh reads, logs, and fsck."""

from __future__ import annotations

from collections.abc import Iterator

from tests.past import Past, invariant
from tests.replica import difference


@invariant
def pushed_is_committed(past: Past) -> Iterator[str]:
    """Whoever hears of a change can read it at once, from any node; before its commit nobody could."""
    for one in past.history.looks:
        if one.found is None:
            yield f"{one.where} brought {one.message['id']}, which could not be read right after it."
        elif one.found["version"] < one.message["version"]:
            yield (
                f"{one.where} brought version {one.message['version']} of {one.message['id']}; a read right "
                f"after it showed version {one.found['version']}."
            )


@invariant
def snapshot_and_pushes_are_a_fresh_snapshot(past: Past) -> Iterator[str]:
    for one in past.history.compared:
        for line in difference(one.held, one.fresh):
            yield f"{one.device} differs from a fresh read at {line}."


@invariant
def logs_hold_no_secret(past: Past) -> Iterator[str]:
    for name, text in past.history.logs.items():
        for secret in past.history.secrets:
            if secret in text:
                yield f"The log of {name} holds a secret that begins with {secret[:4]!r}."


@invariant
def fsck_finds_nothing(past: Past) -> Iterator[str]:
    for finding in past.history.damage:
        yield f"fsck: {finding.rstrip('.')}."
