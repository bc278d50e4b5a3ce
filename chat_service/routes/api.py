"""All routers of the service under their addresses."""

from __future__ import annotations

from fastapi import FastAPI

from chat_service.routes import (
    asyncapi,
    auth,
    chats,
    documentation,
    health,
    messages,
    participants,
    users,
    web,
    websocket,
)
from chat_service.routes.middleware import API_PREFIX


def include_routers(app: FastAPI) -> None:
    for module in (auth, users, chats, participants, messages, websocket):
        app.include_router(module.router, prefix=API_PREFIX)
    app.include_router(health.info_router, prefix=API_PREFIX)
    app.include_router(health.router)
    app.include_router(asyncapi.router)
    documentation.install_documentation(app)
    web.install_web(app)
