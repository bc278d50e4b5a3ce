"""What a client says over its socket: each command is one service call, the same as its REST twin's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any

import structlog

from chat_service.domain import pushes
from chat_service.domain.errors import ChatError, Internal, InvalidRequest
from chat_service.domain.models import Changes, DeleteScope
from chat_service.domain.views import iso, message_view
from chat_service.routes import frames
from chat_service.routes.frames import Command, RefusedFrame, parse_command
from chat_service.routes.limits import FrameBudget
from chat_service.routes.problems import error_frame
from chat_service.services.connections import FRESH_S, Connection
from chat_service.services.container import Services
from chat_service.services.messages import Draft
from chat_service.services.receipts import PositionKind
from chat_service.services.resume import CHATS_TOGETHER, Gone, Joined, Resync, Step
from chat_service.services.sending import Outcome

log = structlog.get_logger()

MAX_IN_FLIGHT = 256
MAX_IN_FLIGHT_BYTES = 256 * 1024
"""Sends of one socket that may wait for their ack; beyond it the next frame is not read. Their acks and their
pushes may all come at once, which must not make a slow consumer of somebody who reads."""


MAX_RESUMES = 16
"""Resumes of one socket that are carried out or wait for that; beyond it the next frame is not read."""


class CommandHandler:
    """The commands of one socket, one after the other; but a `resume`, which may have to wait for its turn,
    keeps only other resumes waiting. Call `close` when the socket has ended."""

    def __init__(self, connection: Connection, services: Services) -> None:
        self._connection = connection
        self._services = services
        self._budget = FrameBudget(enabled=services.settings.rate_limits_enabled)
        self._in_flight = 0
        self._in_flight_bytes = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._known_chats: set[int] = set()
        """Of the chats that the user is in, those that the client has named in `resume` frames so far."""
        self._resumes: set[asyncio.Task[None]] = set()
        self._resume_turn = asyncio.Lock()

    async def handle(self, text: str) -> None:
        """Carry out one frame. Whatever is wrong with it is answered, and never ends the process."""
        try:
            command = parse_command(text)
        except RefusedFrame as refused:
            self._refuse(refused.error, refused.ref)
        else:
            await self._answer(command.ref, self._carry_out(command))

    def close(self) -> None:
        """Nobody is left to read the rest."""
        for task in self._resumes:
            task.cancel()

    async def _carry_out(self, command: Command) -> None:
        self._budget.take()
        await _HANDLERS[type(command)](self, command)

    async def _answer(self, ref: str | None, work: Awaitable[None]) -> None:
        try:
            await work
        except ChatError as error:
            self._refuse(error, ref)
        except TimeoutError:
            self._connection.close(4008, "slow_consumer")
        except Exception:
            log.exception("command_failed", user_id=self._connection.user_id)
            self._refuse(Internal(), ref)

    def _refuse(self, error: ChatError, ref: str | None) -> None:
        self._services.metrics.refusals.labels(error.code).inc()
        self._connection.send(error_frame(error, ref))
        if error.status < 500 and self._budget.strike():  # an outage of ours is not a flood of theirs
            self._connection.close(1008, "flooding")

    def _ack(self, ref: str | None, **fields: object) -> None:
        self._connection.send(pushes.encode({"type": "ack", "ref": ref, **fields}))

    def _get_chat_id(self, given: int | None) -> int:
        """The chat that a frame is about; a socket of one chat may leave it out and may not name another."""
        only = self._connection.only_chat_id
        if given is None and only is None:
            raise InvalidRequest("chat_id is missing.")
        if given is not None and only is not None and given != only:
            raise InvalidRequest("This socket is for another chat.")
        return given or only or 0

    # --- Messages ---------------------------------------------------------------------------------

    async def _send_message(self, frame: frames.SendMessage) -> None:
        draft = Draft(
            chat_id=self._get_chat_id(frame.chat_id),
            content=frame.content,
            message_type=frame.message_type,
            client_message_id=frame.client_message_id,
            reply_to_id=frame.reply_to_id,
        )
        size = len(frame.content.encode(errors="replace"))
        await self._has_room.wait()
        await self._services.messages.accept_send(
            self._connection.caller, draft, lambda outcome: self._finish_send(frame.ref, size, outcome)
        )
        self._count_in_flight(1, size)

    def _count_in_flight(self, sends: int, size: int) -> None:
        self._in_flight += sends
        self._in_flight_bytes += size
        if self._in_flight < MAX_IN_FLIGHT and self._in_flight_bytes < MAX_IN_FLIGHT_BYTES:
            self._has_room.set()
        else:
            self._has_room.clear()

    def _finish_send(self, ref: str | None, size: int, outcome: Outcome) -> None:
        self._count_in_flight(-1, -size)
        if isinstance(outcome, ChatError):
            self._refuse(outcome, ref)
        else:
            self._ack(ref, message=message_view(outcome.message), duplicate=outcome.duplicate)

    async def _edit_message(self, frame: frames.EditMessage) -> None:
        caller = self._connection.caller
        message = await self._services.messages.edit_message(caller, frame.message_id, frame.content)
        self._ack(frame.ref, message=message_view(message))

    async def _delete_message(self, frame: frames.DeleteMessage) -> None:
        caller, messages = self._connection.caller, self._services.messages
        if frame.scope is DeleteScope.ME:
            message = await messages.hide_message(caller, frame.message_id)
        else:
            message = await messages.delete_message(caller, frame.message_id)
        self._ack(frame.ref, message=message_view(message))

    # --- Positions and typing ---------------------------------------------------------------------

    async def _set_typing(self, frame: frames.Typing) -> None:
        chat_id = self._get_chat_id(frame.chat_id)
        self._services.fanout.set_typing(self._connection, chat_id, is_typing=frame.has_started)

    async def _mark_as_read(self, frame: frames.MarkAsRead) -> None:
        self._move_position(frame, PositionKind.READ)

    async def _mark_as_delivered(self, frame: frames.MarkAsDelivered) -> None:
        self._move_position(frame, PositionKind.DELIVERED)

    def _move_position(self, frame: frames.MarkAsRead | frames.MarkAsDelivered, kind: PositionKind) -> None:
        chat_id = self._get_chat_id(frame.chat_id)

        def done(result: int | ChatError) -> None:
            if isinstance(result, ChatError):
                self._refuse(result, frame.ref)
            else:
                self._ack(frame.ref, chat_id=chat_id, seq=result)

        self._services.receipts.submit(self._connection.caller, chat_id, kind, frame.seq, done)

    # --- Coming back ------------------------------------------------------------------------------

    async def _resume(self, frame: frames.Resume) -> None:
        while len(self._resumes) >= MAX_RESUMES:
            await asyncio.wait(self._resumes, return_when=asyncio.FIRST_COMPLETED)
        self._connection.hold()
        task = asyncio.create_task(self._resume_aside(frame))
        self._resumes.add(task)
        task.add_done_callback(self._end_resume)

    async def _resume_aside(self, frame: frames.Resume) -> None:
        async with self._resume_turn:
            await self._answer(frame.ref, self._answer_resume(frame))

    def _end_resume(self, task: asyncio.Task[None]) -> None:
        self._resumes.discard(task)
        # A little later, for whoever names more chats in another frame, or asks again after a failure.
        asyncio.get_running_loop().call_later(FRESH_S, self._connection.release)

    async def _answer_resume(self, frame: frames.Resume) -> None:
        only, caller = self._connection.only_chat_id, self._connection.caller
        for chat_id in frame.cursors:
            self._get_chat_id(chat_id)
        self._known_chats.update(frame.cursors.keys() & self._connection.chats.keys())
        cursors = iter(frame.cursors.items())
        while some := dict(islice(cursors, CHATS_TOGETHER)):
            if not await self._resume_some(some, frame):
                return
        if frame.complete and only is None:
            before = set(self._connection.chats)
            for joined in await self._services.resume.list_unknown(caller.id, self._known_chats):
                has_left = joined.chat.id in before and joined.chat.id not in self._connection.chats
                if not has_left and not await self._send_step(joined, frame.ref):
                    return
            self._known_chats.clear()
        self._ack(frame.ref)

    async def _resume_some(self, cursors: dict[int, int], frame: frames.Resume) -> bool:
        """Who is removed while pages are read hears nothing of the chat after its `user_left`."""
        before, told = set(self._connection.chats), set[int]()
        steps = self._services.resume.resume_chats(self._connection.caller.id, cursors, frame.epoch)
        async for chat_id, step in steps:
            is_out = chat_id in before and chat_id not in self._connection.chats
            if chat_id in told:
                continue
            if is_out:
                told.add(chat_id)
            if not await self._send_step(Gone(chat_id) if is_out else step, frame.ref):
                return False
        return True

    async def _send_step(self, step: Step, ref: str | None) -> bool:
        """False once the socket has ended: nobody is left to read the rest."""
        if isinstance(step, Gone) and step.chat_id in self._connection.chats:
            # The user came back after it was read that they had gone, and may have heard so already.
            step = Resync(step.chat_id, self._connection.chats[step.chat_id])
        self._count(step)
        self._connection.send(self._encode(step, ref))
        await self._connection.socket.drained()
        return self._connection.socket.is_open

    def _count(self, step: Step) -> None:
        metrics = self._services.metrics
        if isinstance(step, Changes):
            metrics.resumes.inc(0 if step.has_more else 1)
            metrics.resume_changes.observe(step.to - step.since)
        elif isinstance(step, Resync):
            metrics.resyncs.inc()

    def _encode(self, step: Step, ref: str | None) -> bytes:
        match step:
            case Changes():
                return pushes.changes(step, ref)
            case Gone():
                return pushes.encode({"type": "chat_gone", "ref": ref, "chat_id": step.chat_id})
            case Resync():
                return pushes.resync_required(step.chat_id, step.version, ref)
            case Joined():
                return pushes.chat_created(step.chat, self._services.epoch.value)

    async def _authenticate(self, frame: frames.Authenticate) -> None:
        caller = await self._services.sessions.authenticate_afresh(frame.token)
        if caller.id != self._connection.user_id:
            self._connection.close(4003, "forbidden")
            return
        self._connection.caller = caller
        self._connection.warned_of_expiry = False
        left_s = (caller.expires_at - self._services.clock()).total_seconds()
        self._ack(frame.ref, expires_in=max(0, int(left_s)))

    async def _ping(self, frame: frames.Ping) -> None:
        now = iso(self._services.clock())
        self._connection.send(pushes.encode({"type": "pong", "ref": frame.ref, "server_time": now}))


_HANDLERS: dict[type, Callable[[CommandHandler, Any], Awaitable[None]]] = {
    frames.SendMessage: CommandHandler._send_message,  # noqa: SLF001 - one table for all sockets, not one each
    frames.EditMessage: CommandHandler._edit_message,  # noqa: SLF001
    frames.DeleteMessage: CommandHandler._delete_message,  # noqa: SLF001
    frames.Typing: CommandHandler._set_typing,  # noqa: SLF001
    frames.MarkAsRead: CommandHandler._mark_as_read,  # noqa: SLF001
    frames.MarkAsDelivered: CommandHandler._mark_as_delivered,  # noqa: SLF001
    frames.Resume: CommandHandler._resume,  # noqa: SLF001
    frames.Authenticate: CommandHandler._authenticate,  # noqa: SLF001
    frames.Ping: CommandHandler._ping,  # noqa: SLF001
}
