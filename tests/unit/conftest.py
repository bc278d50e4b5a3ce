from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chat_service.adapters.sql.migrate import upgrade
from chat_service.app import build_services
from tests.node import make_settings
from tests.world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    settings = make_settings(data_dir=tmp_path)
    services = build_services(settings)
    await services.metadata.connect()
    await services.content.connect()
    await asyncio.to_thread(upgrade, settings.metadata_url)
    sender = asyncio.create_task(services.sender.run())
    yield World(services)
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)
    await services.metadata.close()
    await services.content.close()
