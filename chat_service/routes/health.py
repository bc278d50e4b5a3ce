"""Whether the node works, for people, balancers and supervisors; and what it offers, for clients."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from chat_service import __version__
from chat_service.domain.errors import Unavailable
from chat_service.domain.views import iso
from chat_service.routes.dependencies import ServicesDep
from chat_service.routes.limits import socket_limits
from chat_service.routes.schemas import HealthOut, InfoOut
from chat_service.routes.strict import JsonResponse

router = APIRouter(tags=["health"])
info_router = APIRouter(tags=["info"])

_PING_TIMEOUT_S = 3.0
_FEATURES = ("direct_chats", "groups", "replies", "edits", "receipts", "typing", "presence", "change_feed")


@router.get("/health", response_model=HealthOut, responses={503: {"model": HealthOut}})
async def get_health(services: ServicesDep) -> JsonResponse:
    """`unavailable` (503) when a store is down, `degraded` when only the bus is."""
    pings = {"metadata": services.metadata.ping, "content": services.content.ping, "bus": services.bus.ping}
    results = await asyncio.gather(*(_check(ping) for ping in pings.values()))
    checks = dict(zip(pings, results, strict=True))
    stores_are_up = checks["metadata"] == checks["content"] == "ok"
    status = "unavailable" if not stores_are_up else "degraded" if checks["bus"] == "down" else "ok"
    return JsonResponse(
        {
            "status": status,
            "version": __version__,
            "environment": services.settings.environment,
            "websocket_connections": services.manager.count(),
            "checks": checks,
            "timestamp": iso(datetime.now(UTC)),
        },
        200 if stores_are_up else 503,
    )


@router.get("/livez")
async def get_liveness() -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@router.get("/readyz")
async def get_readiness(services: ServicesDep) -> JsonResponse:
    """503 while starting or draining, on an old schema, or when a core task has died."""
    reason = services.readiness.find_reason()
    if reason is not None:
        return JsonResponse({"status": "unready", "reason": reason}, 503, {"Retry-After": "1"})
    return JsonResponse({"status": "ready"})


@info_router.get("/info", response_model=InfoOut)
async def get_info(services: ServicesDep) -> JsonResponse:
    """What this server is and allows; public."""
    features = [*_FEATURES, f"registration_{services.settings.registration}"]
    limits = socket_limits(services.settings)
    return JsonResponse({"version": __version__, "limits": limits, "features": features})


@router.get("/metrics", include_in_schema=False)
async def get_metrics(services: ServicesDep) -> Response:
    """The numbers of this node for Prometheus; see docs/metrics.md."""
    return Response(services.metrics.render(), media_type=CONTENT_TYPE_LATEST)


async def _check(ping: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(_PING_TIMEOUT_S):
            await ping()
    except (Unavailable, TimeoutError):
        return "down"
    return "ok"
