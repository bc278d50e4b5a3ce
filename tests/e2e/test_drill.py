"""The backup drill, in a short form."""

from __future__ import annotations

import pytest

from tests.drill import drill


@pytest.mark.timeout(180)
async def test_a_backup_under_load_is_restored_whole_and_clients_begin_anew() -> None:
    await drill(seconds=1.0)
