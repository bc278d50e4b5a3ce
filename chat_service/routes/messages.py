"""Messages: `/messages/…`."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from chat_service.domain.errors import InvalidRequest, StaleVersion
from chat_service.domain.models import DeleteScope, Message
from chat_service.domain.views import message_view, revision_view
from chat_service.routes.chats import numbered
from chat_service.routes.dependencies import CallerDep, ServicesDep
from chat_service.routes.middleware import API_PREFIX
from chat_service.routes.parameters import (
    DEFAULT_LIMIT,
    ChatId,
    Limit,
    MessageId,
    Page,
    SeqQuery,
    TimeQuery,
)
from chat_service.routes.schemas import (
    EditMessageIn,
    HistoryOut,
    MessageOut,
    MessagePageOut,
    RevisionsOut,
    SendMessageIn,
)
from chat_service.routes.strict import JsonResponse, StrictRoute
from chat_service.services.messages import Draft

router = APIRouter(prefix="/messages", tags=["messages"], route_class=StrictRoute)

_ETAG = re.compile(r'(?:W/)?"([^"]*)"')


@router.post("", status_code=201, response_model=MessageOut, responses={200: {"model": MessageOut}})
async def send_message(
    body: SendMessageIn,
    caller: CallerDep,
    services: ServicesDep,
    idempotency_key: str | None = Header(default=None),
) -> JsonResponse:
    """Send a message; it is in both stores when this answers. The same `client_message_id` again: 200."""
    given = {body.client_message_id, idempotency_key} - {None}
    if len(given) > 1:
        raise InvalidRequest("client_message_id and Idempotency-Key mean the same thing and differ.")
    sent = await services.messages.send_message(
        caller,
        Draft(
            chat_id=body.chat_id,
            content=body.content,
            message_type=body.message_type,
            client_message_id=given.pop() if given else None,
            reply_to_id=body.reply_to_id,
        ),
    )
    location = {"Location": f"{API_PREFIX}/messages/{sent.message.row.id}"}
    if sent.duplicate:
        return JsonResponse(message_view(sent.message), 200, location | {"Idempotent-Replay": "true"})
    return JsonResponse(message_view(sent.message), 201, location)


@router.get("/chat/{chat_id}", response_model=HistoryOut | MessagePageOut)
async def list_history(  # noqa: PLR0913, PLR0917 - the parameters of the contract
    chat_id: ChatId,
    caller: CallerDep,
    services: ServicesDep,
    limit: Limit = DEFAULT_LIMIT,
    before: SeqQuery | None = None,
    after: SeqQuery | None = None,
    around: SeqQuery | None = None,
    at: TimeQuery | None = None,
    page: Page | None = None,
) -> JsonResponse:
    """History by seq, around a message or a time, or by number of page; items ascend by seq."""
    if sum(one is not None for one in (before, after, around, at, page)) > 1:
        raise InvalidRequest("Give at most one of before, after, around, at and page.")
    if page is not None:
        numbers = await services.history.list_page(caller.id, chat_id, page=page, limit=limit)
        items = [message_view(message) for message in numbers.items]
        return JsonResponse(numbered(items, numbers.total, page=page, limit=limit))
    found = await services.history.list_history(
        caller.id, chat_id, limit=limit, before=before, after=after, around=around, at=at
    )
    if around is not None or at is not None:
        has_more = found.has_older or found.has_newer
    else:
        has_more = found.has_newer if after is not None else found.has_older
    return JsonResponse(
        {
            "items": [message_view(message) for message in found.items],
            "has_more": has_more,
            "next_before": found.next_before,
            "next_after": found.next_after,
            "version": found.version,
            "epoch": services.epoch.value,
        }
    )


@router.get("/{message_id}", response_model=MessageOut)
async def get_message(message_id: MessageId, caller: CallerDep, services: ServicesDep) -> JsonResponse:
    return _tagged(await services.messages.get_message(caller, message_id))


@router.put("/{message_id}", response_model=MessageOut)
async def edit_message(
    message_id: MessageId,
    body: EditMessageIn,
    caller: CallerDep,
    services: ServicesDep,
    if_match: str | None = Header(default=None),
) -> JsonResponse:
    """Give one's own message a new text; with `If-Match` only if it is as it was read."""
    revision = _parse_if_match(if_match)
    return _tagged(await services.messages.edit_message(caller, message_id, body.content, revision=revision))


@router.delete("/{message_id}", response_model=MessageOut, responses={204: {"description": "Hidden."}})
async def delete_message(
    message_id: MessageId,
    caller: CallerDep,
    services: ServicesDep,
    scope: Annotated[DeleteScope, Query()] = DeleteScope.EVERYONE,
) -> Response:
    """Delete for everyone (answers with the tombstone) or hide from oneself."""
    if scope is DeleteScope.ME:
        await services.messages.hide_message(caller, message_id)
        return Response(status_code=204)
    return _tagged(await services.messages.delete_message(caller, message_id))


@router.get("/{message_id}/revisions", response_model=RevisionsOut)
async def list_revisions(message_id: MessageId, caller: CallerDep, services: ServicesDep) -> JsonResponse:
    """Every text the message has had, from the first to the present one."""
    texts = await services.messages.list_revisions(caller, message_id)
    return JsonResponse({"items": [revision_view(one.revision, text, one.edited_at) for one, text in texts]})


def _tagged(message: Message) -> JsonResponse:
    return JsonResponse(message_view(message), headers={"ETag": f'"{message.row.revision}"'})


def _parse_if_match(header: str | None) -> int | None:
    """The revision that the caller has seen; None for no condition (RFC 9110, section 13.1.1).

    Of several tags none is a revision that this service gave to one reader: that is stale.
    """
    if header is None or header.strip() == "*":
        return None
    found = _ETAG.fullmatch(header.strip())
    if found is None or not found[1].isdecimal() or len(found[1]) > 9:
        raise StaleVersion
    return int(found[1])
