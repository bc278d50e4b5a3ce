"""The epoch of the metadata store, as this node last read it.

A restore changes it, because versions are then used again; a node that sees another one closes its
sockets, and clients read afresh (docs/protocol.md, section 5).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Epoch:
    value: str = ""
