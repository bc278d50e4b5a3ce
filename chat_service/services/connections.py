"""The open sockets of this node: user → chat → connections, and who is typing since when.

Between reading and changing its maps nothing awaits, so they never contradict each other. What must be
delivered in order goes through the streams of `chat_service.services.streams`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from chat_service.domain.events import ChatChanged, Event
from chat_service.domain.models import Caller
from chat_service.services.ports.socket import Batch, Socket

log = structlog.get_logger()

EPHEMERAL_UP_TO_BYTES = 256 * 1024
"""Above this much unsent, a socket gets no typing, presence or positions."""
OUTBOUND_BYTES = 1024 * 1024
"""Above this much unsent, a socket is a slow consumer and closed with 4008."""
NODE_OUTBOUND_BYTES = 512 * 1024 * 1024
"""Above this much unsent on the whole node, the fullest sockets go first."""
FRESH_S = 0.5
"""A client that comes back asks for what it missed within this time, and gets no `changes` unasked before.
Short enough that who does not ask still hears of everything within a second."""
CONNECTIONS_PER_USER = 20
TYPING_LASTS_S = 10.0
SLOW_CONSUMER = 4008


@dataclass(eq=False, slots=True)
class Connection:
    """One accepted socket and what it listens to."""

    id: str
    caller: Caller
    socket: Socket
    only_chat_id: int | None = None
    """Set for a socket of one chat."""
    chats: dict[int, int] = field(default_factory=dict)
    """The chats it listens to, each with the version above which it wants changes."""
    missed_from: int = 0
    """Where in the manager's record of changes its handshake began."""
    typing_in: set[int] = field(default_factory=set)
    warned_of_expiry: bool = False
    is_open: bool = False
    """Whether it is told what happens; before that, it collects what it misses."""
    is_closed: bool = False
    closed_with: int | None = None
    """The close code, where it was the server that ended the connection."""
    holds: int = 0
    """Reasons to keep unasked `changes` back."""
    held: dict[int, list[Batch]] = field(default_factory=dict)
    """Of each chat such `changes`, and what came after them."""
    held_bytes: int = 0

    @property
    def user_id(self) -> int:
        return self.caller.id

    @property
    def session_id(self) -> UUID:
        return self.caller.session_id

    @property
    def unsent_bytes(self) -> int:
        return self.socket.unsent_bytes + self.held_bytes

    def write(self, batch: Batch, *, chat_id: int | None = None, is_ephemeral: bool = False) -> None:
        """Deliver, or drop what is ephemeral, or give up on a reader that is too slow. With a `chat_id` it is
        about that chat, and comes after what is held back of it."""
        if self.is_closed:
            return
        unsent = self.socket.unsent_bytes + self.held_bytes
        if unsent > OUTBOUND_BYTES:
            self.close(SLOW_CONSUMER, "slow_consumer")
        elif is_ephemeral and unsent > EPHEMERAL_UP_TO_BYTES:
            return
        elif self.held and chat_id in self.held:
            self._keep(batch, chat_id)
        else:
            self.socket.write(batch)

    def write_changes(self, batch: Batch, chat_id: int) -> None:
        """Fill a hole, but not while the client is about to learn what lies below: it would take the end of
        the `changes` for its cursor and, if the connection ended then, never ask for what came before."""
        if self.holds and not self.is_closed:
            self.held.setdefault(chat_id, [])
        self.write(batch, chat_id=chat_id)

    def send(self, text: bytes) -> None:
        """Something about no chat, or an answer, which waits for nothing that is held back."""
        self.write(Batch([text]))

    def hold(self) -> None:
        """Keep `changes` back, and what comes after them in their chats, until `release`."""
        self.holds += 1

    def release(self) -> None:
        self.holds -= 1
        if not self.holds:
            for chat_id in list(self.held):
                self.deliver_held(chat_id)

    def deliver_held(self, chat_id: int) -> None:
        """What is held back of this chat, at once."""
        for batch in self.held.pop(chat_id, ()):
            self.held_bytes -= batch.size
            self.write(batch)

    def _keep(self, batch: Batch, chat_id: int) -> None:
        self.held[chat_id].append(batch)
        self.held_bytes += batch.size

    def close(self, code: int, reason: str) -> None:
        if not self.is_closed:
            self.is_closed, self.closed_with = True, code
            self.socket.close(code, reason)


class ConnectionManager:
    """Who is connected to this node, and to what they listen."""

    def __init__(self) -> None:
        self._users: dict[int, dict[int, set[Connection]]] = {}
        self._connections: dict[int, dict[Connection, None]] = {}
        self._opening: set[Connection] = set()
        self._record: list[ChatChanged] = []
        """What was published since the oldest handshake that is under way began: one for all of them."""
        self._record_from = 0
        """The number of the record's first change."""
        self._typing: dict[tuple[int, int], float] = {}

    # --- Connections ------------------------------------------------------------------------------

    def add(self, connection: Connection) -> None:
        """Register a socket, to which nothing is delivered yet."""
        self._connections.setdefault(connection.user_id, {})[connection] = None

    def begin_handshake(self, connection: Connection) -> None:
        """From now on it misses nothing: what is published is kept until `take_missed`."""
        connection.missed_from = self._record_from + len(self._record)
        self._opening.add(connection)

    def remove(self, connection: Connection) -> None:
        """Forget a socket, before it leaves its chats: what is delivered by that must not let it in."""
        connection.is_closed = True
        self._end_handshake(connection)
        own = self._connections.get(connection.user_id)
        if own is not None:
            own.pop(connection, None)
            if not own:
                del self._connections[connection.user_id]

    def list_all(self) -> list[Connection]:
        return [connection for own in self._connections.values() for connection in own]

    def list_of_user(self, user_id: int) -> list[Connection]:
        """The oldest first."""
        return list(self._connections.get(user_id, ()))

    def is_connected(self, user_id: int) -> bool:
        """Whether any socket of the user is open; one in its handshake is not yet, a closing one no more."""
        return any(one.is_open and not one.is_closed for one in self._connections.get(user_id, ()))

    def count_unsent_bytes(self) -> int:
        return sum(one.unsent_bytes for one in self.list_all())

    def count(self) -> int:
        return sum(len(own) for own in self._connections.values())

    def collect_missed(self, events: Iterable[Event]) -> None:
        """Keep changes of chats for the sockets whose memberships are being read."""
        if self._opening:
            self._record += [event for event in events if isinstance(event, ChatChanged)]

    def take_missed(self, connection: Connection) -> list[ChatChanged]:
        """End the collecting: from now on the socket hears what happens as it happens."""
        missed = self._record[connection.missed_from - self._record_from :]
        self._end_handshake(connection)
        connection.is_open = True
        return missed

    def _end_handshake(self, connection: Connection) -> None:
        """Forget what no handshake that is still under way has to hear of."""
        if connection not in self._opening:
            return
        self._opening.remove(connection)
        newest = self._record_from + len(self._record)
        oldest = min((one.missed_from for one in self._opening), default=newest)
        del self._record[: oldest - self._record_from]
        self._record_from = oldest

    # --- Chats ------------------------------------------------------------------------------------

    def enter(self, connection: Connection, chat_id: int, version: int) -> None:
        """Let a socket listen to a chat's changes above `version`."""
        connection.chats[chat_id] = version
        self._users.setdefault(connection.user_id, {}).setdefault(chat_id, set()).add(connection)

    def leave(self, connection: Connection, chat_id: int) -> None:
        connection.chats.pop(chat_id, None)
        chats = self._users.get(connection.user_id, {})
        listeners = chats.get(chat_id)
        if listeners is None:
            return
        listeners.discard(connection)
        if not listeners:
            del chats[chat_id]
        if not chats:
            self._users.pop(connection.user_id, None)

    def list_listeners(self, user_id: int, chat_id: int) -> list[Connection]:
        """The user's sockets that listen to the chat."""
        return list(self._users.get(user_id, {}).get(chat_id, ()))

    # --- Typing -----------------------------------------------------------------------------------

    def start_typing(self, chat_id: int, user_id: int) -> bool:
        """Note the time; True when the user was not typing there yet."""
        key = (chat_id, user_id)
        is_new = key not in self._typing
        self._typing[key] = asyncio.get_running_loop().time()
        return is_new

    def stop_typing(self, chat_id: int, user_id: int) -> bool:
        """True when the user was typing there; none of their sockets is then."""
        if self._typing.pop((chat_id, user_id), None) is None:
            return False
        for connection in self._connections.get(user_id, ()):
            connection.typing_in.discard(chat_id)
        return True

    def list_stale_typing(self) -> list[tuple[int, int]]:
        """The (chat_id, user_id) pairs that have not been renewed for ten seconds."""
        oldest_s = asyncio.get_running_loop().time() - TYPING_LASTS_S
        return [key for key, since_s in self._typing.items() if since_s <= oldest_s]
