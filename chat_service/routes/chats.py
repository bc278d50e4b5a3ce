"""Chats: `/chats/…`, their settings and their change feed."""

from __future__ import annotations

import math

from fastapi import APIRouter, Header, Response

from chat_service.domain.errors import InvalidRequest
from chat_service.domain.models import ChatType
from chat_service.domain.views import changes_view, chat_view, listed_chat_view
from chat_service.routes.dependencies import CallerDep, ServicesDep
from chat_service.routes.middleware import API_PREFIX
from chat_service.routes.parameters import (
    DEFAULT_LIMIT,
    ChatId,
    CursorQuery,
    EpochQuery,
    Limit,
    Page,
    SeqQuery,
)
from chat_service.routes.schemas import (
    ChangesOut,
    ChatCursorOut,
    ChatOut,
    ChatPageOut,
    CreateChatIn,
    RenameChatIn,
)
from chat_service.routes.strict import JsonResponse, StrictRoute
from chat_service.services.chats import NewChat

router = APIRouter(prefix="/chats", tags=["chats"], route_class=StrictRoute)


@router.post("", status_code=201, response_model=ChatOut, responses={200: {"model": ChatOut}})
async def create_chat(
    body: CreateChatIn,
    caller: CallerDep,
    services: ServicesDep,
    idempotency_key: str | None = Header(default=None),
) -> JsonResponse:
    """Create a group, or the direct chat with somebody; 200 where it exists already."""
    services.limits.take_new_chat(caller.id, len(body.participant_ids))
    wish = NewChat(ChatType(body.chat_type), body.name, tuple(body.participant_ids), idempotency_key)
    chat, is_new = await services.chats.create_chat(caller, wish)
    location = {"Location": f"{API_PREFIX}/chats/{chat.id}"}
    return JsonResponse(chat_view(chat, services.epoch.value), 201 if is_new else 200, location)


@router.get("", response_model=ChatPageOut | ChatCursorOut)
async def list_chats(
    caller: CallerDep,
    services: ServicesDep,
    page: Page | None = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorQuery | None = None,
) -> JsonResponse:
    """The caller's chats, newest activity first, by number of page or, stable under writes, by cursor."""
    epoch = services.epoch.value
    if cursor is not None:
        if page is not None:
            raise InvalidRequest("Give page or cursor, not both.")
        found = await services.chats.list_chats_after(caller, cursor=cursor, limit=limit)
        items = [listed_chat_view(item, epoch) for item in found.items]
        more = {"next_cursor": found.next_cursor, "has_more": found.next_cursor is not None}
        return JsonResponse({"items": items, **more})
    number = page or 1
    found = await services.chats.list_chats(caller, page=number, limit=limit)
    items = [listed_chat_view(item, epoch) for item in found.items]
    return JsonResponse(numbered(items, found.total or 0, page=number, limit=limit))


@router.get("/{chat_id}", response_model=ChatOut)
async def get_chat(chat_id: ChatId, caller: CallerDep, services: ServicesDep) -> JsonResponse:
    chat = await services.chats.get_chat(caller, chat_id)
    return JsonResponse(chat_view(chat, services.epoch.value))


@router.put("/{chat_id}", response_model=ChatOut)
async def rename_chat(
    chat_id: ChatId, body: RenameChatIn, caller: CallerDep, services: ServicesDep
) -> JsonResponse:
    """Rename a group; for its owner and admins."""
    chat = await services.chats.rename_chat(caller, chat_id, body.name)
    return JsonResponse(chat_view(chat, services.epoch.value))


@router.delete("/{chat_id}", status_code=204)
async def leave_chat(chat_id: ChatId, caller: CallerDep, services: ServicesDep) -> Response:
    """Leave a group, or hide a direct chat from one's list until its next message."""
    await services.chats.leave_chat(caller, chat_id)
    return Response(status_code=204)


@router.get("/{chat_id}/changes", response_model=ChangesOut)
async def list_changes(
    chat_id: ChatId,
    caller: CallerDep,
    services: ServicesDep,
    since: SeqQuery = 0,
    limit: Limit = DEFAULT_LIMIT,
    epoch: EpochQuery | None = None,
) -> JsonResponse:
    """Everything that has changed above a version, in its present state, ascending."""
    changes = await services.history.list_changes(caller.id, chat_id, since=since, limit=limit, epoch=epoch)
    return JsonResponse(changes_view(changes))


def numbered(items: list[dict[str, object]], total: int, *, page: int, limit: int) -> dict[str, object]:
    """A page found by its number, the shape that chats and messages share."""
    pages = math.ceil(total / limit)
    return {"items": items, "total": total, "page": page, "limit": limit, "pages": pages}
