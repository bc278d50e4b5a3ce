"""A node whose clock is off: it goes by the metadata server's, and says so."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from chat_service.app import StartupError, build_services, run_services
from chat_service.domain.clock import Clock, system_clock
from chat_service.services.container import Services
from chat_service.settings import Environment, Settings
from tests.node import SECRET, make_settings


@pytest.fixture
def settings(mysql_database_url: str, mongodb_database_url: str, tmp_path: Path) -> Settings:
    return make_settings(
        data_dir=tmp_path,
        database_url=mysql_database_url,
        content_url=mongodb_database_url,
        auto_migrate=True,
    )


def ahead(seconds: float) -> Clock:
    return lambda: system_clock() + timedelta(seconds=seconds)


def off_by_s(services: Services) -> float:
    """How far the time by which everything is decided is from the real one."""
    return abs((services.clock() - system_clock()).total_seconds())


@pytest.mark.parametrize(("seconds", "way"), [(3600, "3600 s ahead of"), (-45, "45 s behind")])
async def test_a_clock_far_off_makes_the_node_unready_and_decides_nothing(
    settings: Settings, seconds: float, way: str
) -> None:
    services = build_services(settings, ahead(seconds))
    async with run_services(services):
        reason = services.readiness.find_reason()
        assert reason is not None
        assert way in reason
        assert off_by_s(services) < 1


async def test_a_clock_a_little_off_is_put_right_and_nobody_minds(settings: Settings) -> None:
    services = build_services(settings, ahead(20))
    async with run_services(services):
        assert services.readiness.find_reason() is None
        assert off_by_s(services) < 1


async def test_production_refuses_to_start_with_a_clock_that_is_off(settings: Settings) -> None:
    strict = settings.model_copy(update={"environment": Environment.PRODUCTION})
    with pytest.raises(StartupError, match="3600 s ahead of that of the metadata server"):
        async with run_services(build_services(strict, ahead(3600))):
            pass
    assert SECRET not in repr(strict)


async def test_a_clock_that_is_put_right_makes_the_node_ready_again(settings: Settings) -> None:
    moved = [3600.0]
    services = build_services(settings, lambda: system_clock() + timedelta(seconds=moved[0]))
    async with run_services(services):
        moved[0] = 0.0
        await services.nodes.beat()
        assert services.readiness.find_reason() is None
        assert off_by_s(services) < 1


async def test_a_clock_that_is_set_while_the_node_runs_decides_nothing(settings: Settings) -> None:
    """Not even until the next look at the server's: tokens would end, and stamps would be an hour off."""
    moved = [0.0]
    services = build_services(settings, lambda: system_clock() + timedelta(seconds=moved[0]))
    async with run_services(services):
        for seconds in (3600.0, -3600.0):
            moved[0] = seconds
            assert off_by_s(services) < 1
        await services.nodes.beat()
        assert off_by_s(services) < 1
        reason = services.readiness.find_reason()
        assert reason is not None
        assert "3600 s behind" in reason
