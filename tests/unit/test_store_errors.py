"""What the servers refuse in passing is `unavailable`; whatever else they refuse is a defect of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from chat_service.adapters.sql.store import SqlMetadataStore
from chat_service.domain.errors import Unavailable

PASSING = {
    1021: "the disk is full",
    1040: "too many connections",
    1047: "the node is not in its cluster",
    1129: "the host is blocked",
    1130: "the host is not let in",
    1180: "an error during COMMIT",
    1203: "too many connections of the user",
    1226: "too many connections of the account",
    1290: "read only",
    1820: "the password has expired",
    1862: "the password has expired",
    2013: "the connection was lost",
    3169: "the session was killed",
}


@pytest.mark.parametrize("code", PASSING, ids=PASSING.get)
async def test_what_passes_is_unavailable(tmp_path: Path, code: int) -> None:
    with pytest.raises(Unavailable):
        await fail_with(tmp_path, code)


@pytest.mark.parametrize("code", [1054, 1062, 1064, 1406])
async def test_a_defect_of_ours_is_not(tmp_path: Path, code: int) -> None:
    with pytest.raises(OperationalError):
        await fail_with(tmp_path, code)


async def fail_with(folder: Path, code: int) -> None:
    async def fail() -> None:
        raise OperationalError("SELECT 1", {}, Exception(code, "in the server's words"))

    await SqlMetadataStore(f"sqlite+aiosqlite:///{folder}/none.db")._guard(fail)
