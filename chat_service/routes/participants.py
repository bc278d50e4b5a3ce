"""Participants and positions: `/chats/{chat_id}/participants`, `/read`, `/delivered`, `/online`."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Response

from chat_service.domain.models import Participant, Role
from chat_service.domain.views import participant_view
from chat_service.routes.dependencies import CallerDep, ServicesDep
from chat_service.routes.parameters import ChatId, UserId
from chat_service.routes.schemas import (
    AddParticipantsIn,
    OnlineOut,
    ParticipantOut,
    ParticipantsOut,
    PositionIn,
    PositionOut,
    RemoveParticipantIn,
    RoleIn,
)
from chat_service.routes.strict import JsonResponse, StrictRoute
from chat_service.services.receipts import PositionKind

router = APIRouter(prefix="/chats/{chat_id}", tags=["participants"], route_class=StrictRoute)


@router.get("/participants", response_model=ParticipantsOut)
async def list_participants(chat_id: ChatId, caller: CallerDep, services: ServicesDep) -> JsonResponse:
    return _answer(await services.participants.list_participants(caller, chat_id))


@router.post("/participants", response_model=ParticipantsOut)
async def add_participants(
    chat_id: ChatId, body: AddParticipantsIn, caller: CallerDep, services: ServicesDep
) -> JsonResponse:
    """Add people to a group; answers with everybody in it. For its owner and admins."""
    services.limits.take_additions(caller.id, len(body.user_ids))
    return _answer(await services.participants.add_participants(caller, chat_id, body.user_ids))


@router.delete("/participants", status_code=204)
async def remove_named_participant(
    chat_id: ChatId, body: RemoveParticipantIn, caller: CallerDep, services: ServicesDep
) -> Response:
    """The same as the call with the user's id in the path."""
    await services.participants.remove_participant(caller, chat_id, body.user_id)
    return Response(status_code=204)


@router.delete("/participants/{user_id}", status_code=204)
async def remove_participant(
    chat_id: ChatId, user_id: UserId, caller: CallerDep, services: ServicesDep
) -> Response:
    """Remove somebody from a group, or leave it oneself."""
    await services.participants.remove_participant(caller, chat_id, user_id)
    return Response(status_code=204)


@router.put("/participants/{user_id}", response_model=ParticipantOut)
async def set_role(
    chat_id: ChatId, user_id: UserId, body: RoleIn, caller: CallerDep, services: ServicesDep
) -> JsonResponse:
    """Set somebody's role; `owner` hands the group over."""
    changed = await services.participants.set_role(caller, chat_id, user_id, Role(body.role))
    return JsonResponse(participant_view(changed))


@router.put("/read", response_model=PositionOut)
async def mark_as_read(
    chat_id: ChatId, body: PositionIn, caller: CallerDep, services: ServicesDep
) -> JsonResponse:
    """Move the caller's read position forward; answers with the one now held."""
    seq = await services.receipts.move_position(caller, chat_id, PositionKind.READ, body.seq)
    return JsonResponse({"chat_id": chat_id, "seq": seq})


@router.put("/delivered", response_model=PositionOut)
async def mark_as_delivered(
    chat_id: ChatId, body: PositionIn, caller: CallerDep, services: ServicesDep
) -> JsonResponse:
    """Move the caller's delivered position forward; answers with the one now held."""
    seq = await services.receipts.move_position(caller, chat_id, PositionKind.DELIVERED, body.seq)
    return JsonResponse({"chat_id": chat_id, "seq": seq})


@router.get("/online", response_model=OnlineOut)
async def list_online(chat_id: ChatId, caller: CallerDep, services: ServicesDep) -> JsonResponse:
    """The participants who are connected now, the caller included."""
    return JsonResponse({"user_ids": await services.presence.list_online(caller, chat_id)})


def _answer(participants: Sequence[Participant]) -> JsonResponse:
    return JsonResponse({"items": [participant_view(one) for one in participants]})
