"""Ids of messages, bodies and sessions: UUIDs of version 7 (RFC 9562), which sort by their time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from uuid import UUID

if sys.version_info >= (3, 14):
    from uuid import uuid7 as new_id
else:
    from uuid_utils.compat import uuid7 as new_id

IdSource = Callable[[], UUID]

__all__ = ["IdSource", "new_id"]
