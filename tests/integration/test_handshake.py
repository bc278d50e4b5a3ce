"""Opening a socket: credentials, origins, chats, limits, and what happens while it opens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from chat_service import __version__
from chat_service.services.connections import CONNECTIONS_PER_USER
from chat_service.services.tokens import Tokens
from tests.builders import TestUser, a_direct_chat, a_group, a_user, some_users
from tests.client import TIMEOUT_S, ChatClient
from tests.node import SECRET, Node, Watch, make_settings

LIMITS_ON = {"rate_limits_enabled": True}


async def refusal(url: str, **options: Any) -> tuple[int | None, str | None]:
    """How a handshake is refused: it is accepted, then closed before any frame."""
    async with connect(url, proxy=None, compression=None, **options) as socket:
        assert socket.response is not None
        assert socket.response.status_code == 101
        with contextlib.suppress(ConnectionClosed):
            pytest.fail(f"a frame came: {await asyncio.wait_for(socket.recv(), TIMEOUT_S)!r}")
        return socket.close_code, socket.close_reason


def forge(token: str, key: bytes | str | None = None, algorithm: str = "HS256", **claims: Any) -> str:
    """A token with the claims of another one, changed and signed by somebody else."""
    found = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode({**found, **claims}, key or b"not the key of the service, but long", algorithm)


def own_token(user: TestUser, clock: Callable[[], datetime]) -> str:
    """What the service itself would have given the user's session at that time."""
    claims = jwt.decode(user.token, options={"verify_signature": False})
    lifetime = timedelta(minutes=15)
    tokens = Tokens(SECRET.encode(), access_lifetime=lifetime, refresh_lifetime=lifetime, clock=clock)
    return tokens.make_access(user.id, UUID(claims["sid"])).text


# --- Credentials --------------------------------------------------------------------------------------


async def test_a_token_in_the_query_opens_a_socket(server: Node) -> None:
    user = await a_user(server)
    async with ChatClient(f"{server.ws_url}?token={user.token}") as client:
        assert client.frames[0]["user_id"] == user.id


async def test_a_ticket_opens_a_socket(server: Node) -> None:
    user = await a_user(server)
    ticket = (await user.post("/auth/ws-ticket", status=200))["ticket"]
    async with ChatClient(f"{server.ws_url}?ticket={ticket}") as client:
        assert client.frames[0]["user_id"] == user.id


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_authorization_header_opens_a_socket(server: Node, scheme: str) -> None:
    user = await a_user(server)
    headers = {"Authorization": f"{scheme} {user.token}"}
    async with ChatClient(server.ws_url, additional_headers=headers) as client:
        assert client.frames[0]["user_id"] == user.id


async def test_the_pair_of_subprotocols_opens_a_socket_and_the_server_answers_chat_v1(server: Node) -> None:
    user = await a_user(server)
    async with ChatClient(server.ws_url, subprotocols=["chat.v1", f"bearer.{user.token}"]) as client:
        assert client.frames[0]["user_id"] == user.id
        assert client.socket is not None
        assert client.socket.subprotocol == "chat.v1"


async def test_no_subprotocol_is_answered_where_none_was_offered(server: Node) -> None:
    async with (await a_user(server)).socket() as client:
        assert client.socket is not None
        assert client.socket.subprotocol is None


async def test_a_socket_without_a_credential_is_closed_as_unauthenticated(server: Node) -> None:
    assert await refusal(server.ws_url) == (4001, "unauthenticated")
    assert await refusal(f"{server.ws_url}?token=") == (4001, "unauthenticated")
    basic = {"Authorization": "Basic bWFpOnNlY3JldA=="}
    assert await refusal(server.ws_url, additional_headers=basic) == (4001, "unauthenticated")
    assert await refusal(server.ws_url, subprotocols=["chat.v1"]) == (4001, "unauthenticated")


async def test_bad_tokens_are_closed_as_unauthenticated(server: Node) -> None:
    user = await a_user(server)
    other = await a_user(server)
    head, claims, _ = user.token.split(".")
    unsigned = jwt.encode(jwt.decode(user.token, options={"verify_signature": False}), "", "none")
    bad = {
        "not a token": "abc",
        "no signature": f"{head}.{claims}.",
        "somebody else's signature": forge(user.token),
        "signed with the secret itself": forge(user.token, SECRET.encode()),
        "another user": forge(user.token, sub=str(other.id)),
        "alg none": unsigned,
        "a refresh token": user.refresh_token,
        "too long": "a" * 5000,
    }
    for token in bad.values():
        expected = (4001, "unauthenticated")
        assert await refusal(f"{server.ws_url}?token={token}") == expected
        assert (
            await refusal(server.ws_url, additional_headers={"Authorization": f"Bearer {token}"}) == expected
        )
    for token in (bad["alg none"], bad["another user"], bad["a refresh token"]):
        protocols = ["chat.v1", f"bearer.{token}"]
        assert await refusal(server.ws_url, subprotocols=protocols) == (4001, "unauthenticated")


async def test_an_expired_token_is_closed_as_token_expired(server: Node) -> None:
    user = await a_user(server)
    expired = own_token(user, lambda: datetime.now(UTC) - timedelta(hours=1))
    assert await refusal(f"{server.ws_url}?token={expired}") == (4001, "token_expired")


async def test_a_token_of_an_ended_session_is_closed_as_session_revoked(server: Node) -> None:
    user = await a_user(server)
    await user.post("/auth/logout", status=204)
    assert await refusal(f"{server.ws_url}?token={user.token}") == (4001, "session_revoked")


async def test_a_ticket_is_good_for_one_socket_even_when_taken_at_the_same_time(server: Node) -> None:
    user = await a_user(server)
    ticket = (await user.post("/auth/ws-ticket", status=200))["ticket"]
    url = f"{server.ws_url}?ticket={ticket}"

    async def try_it() -> str:
        async with connect(url, proxy=None) as socket:
            try:
                return str(json.loads(await socket.recv())["type"])
            except ConnectionClosed:
                return f"{socket.close_code} {socket.close_reason}"

    answers = sorted(await asyncio.gather(*(try_it() for _ in range(5))))
    assert answers == ["4001 unauthenticated"] * 4 + ["connected"]
    assert await refusal(url) == (4001, "unauthenticated")


async def test_a_ticket_of_an_ended_session_is_refused(server: Node) -> None:
    user = await a_user(server)
    ticket = (await user.post("/auth/ws-ticket", status=200))["ticket"]
    await user.post("/auth/logout", status=204)
    assert await refusal(f"{server.ws_url}?ticket={ticket}") == (4001, "session_revoked")


async def test_unknown_tickets_are_refused(server: Node) -> None:
    for ticket in ("", "abc", "%00", "%ff", "é", "a" * 3000):
        assert await refusal(f"{server.ws_url}?ticket={ticket}") == (4001, "unauthenticated")


async def test_a_ticket_lasts_thirty_seconds(tmp_path: Path) -> None:
    watch = Watch()
    with Node(make_settings(data_dir=tmp_path), clock=watch) as node:
        user = await a_user(node)
        early, late = [(await user.post("/auth/ws-ticket", status=200)) for _ in range(2)]
        assert early["expires_in"] == 30
        watch.turn(seconds=28)
        async with ChatClient(f"{node.ws_url}?ticket={early['ticket']}"):
            watch.turn(seconds=4)
            assert await refusal(f"{node.ws_url}?ticket={late['ticket']}") == (4001, "unauthenticated")


async def test_a_socket_by_ticket_ends_with_the_token_that_asked_for_it(tmp_path: Path) -> None:
    watch = Watch()
    with Node(make_settings(data_dir=tmp_path, access_token_minutes=2), clock=watch) as node:
        user = await a_user(node)
        watch.turn(seconds=110)
        ticket = (await user.post("/auth/ws-ticket", status=200))["ticket"]
        async with ChatClient(f"{node.ws_url}?ticket={ticket}") as client:
            assert (await client.expect("token_expiring"))["expires_in"] <= 10
            watch.turn(seconds=15)
            assert await client.closed() == (4001, "token_expired")


async def test_a_ticket_is_refused_when_the_token_that_asked_for_it_has_expired(tmp_path: Path) -> None:
    watch = Watch()
    with Node(make_settings(data_dir=tmp_path, access_token_minutes=1), clock=watch) as node:
        user = await a_user(node)
        watch.turn(seconds=50)
        ticket = (await user.post("/auth/ws-ticket", status=200))["ticket"]
        watch.turn(seconds=15)
        assert await refusal(f"{node.ws_url}?ticket={ticket}") == (4001, "token_expired")


# --- Chats --------------------------------------------------------------------------------------------


async def test_unknown_foreign_and_malformed_chats_are_refused_alike(server: Node) -> None:
    ann, ben, eve = await some_users(server, 3)
    foreign = await a_direct_chat(ann, ben)
    left = await a_group(ann, eve)
    await eve.delete(f"/chats/{left}")
    own = await a_group(eve)
    paths = [
        foreign,
        left,
        999_999_999,
        2**53 - 1,
        2**53,
        9**20,
        0,
        -1,
        "abc",
        "1.0",
        f"0{own}",
        f"+{own}",
        "%00",
        "٣",
    ]
    for path in paths:
        assert await refusal(f"{server.ws_url}/{path}?token={eve.token}") == (4003, "not_found"), path


async def test_a_bad_token_is_told_before_the_chat_is_looked_at(server: Node) -> None:
    assert await refusal(f"{server.ws_url}/abc?token=abc") == (4001, "unauthenticated")


async def test_the_path_of_a_socket_may_end_in_a_slash(server: Node) -> None:
    user = await a_user(server)
    chat_id = await a_group(user)
    for path in ("/", f"/{chat_id}", f"/{chat_id}/"):
        async with user.socket(path) as client:
            await client.settle()
    assert await refusal(f"{server.ws_url}/{chat_id}/?token=abc") == (4001, "unauthenticated")


# --- Origins ------------------------------------------------------------------------------------------


async def test_the_own_origin_may_connect(server: Node) -> None:
    user = await a_user(server)
    for host in ("127.0.0.1", "localhost"):
        origin = f"http://{host}:{server.port}"
        url = server.ws_url.replace("127.0.0.1", host)
        async with ChatClient(url, token=user.token, origin=origin) as client:
            await client.settle()


async def test_foreign_and_null_origins_are_refused(server: Node) -> None:
    user = await a_user(server)
    url = f"{server.ws_url}?token={user.token}"
    foreign = [
        "https://evil.example",
        "null",
        f"http://127.0.0.1:{server.port + 1}",
        "http://127.0.0.1",
        f"http://localhost:{server.port}",
        f"http://127.0.0.1:{server.port}.evil.example",
        f"http://evil.example/127.0.0.1:{server.port}",
        f"http://127.0.0.1:{server.port}@evil.example",
        "http://[",
        "",
    ]
    for origin in foreign:
        headers = {"Origin": origin}
        assert await refusal(url, additional_headers=headers) == (4003, "forbidden"), origin


async def test_a_list_of_origins_is_exact(tmp_path: Path) -> None:
    settings = make_settings(data_dir=tmp_path, allowed_origins=("https://chat.example.org",))
    with Node(settings) as node:
        user = await a_user(node)
        async with user.socket(origin="https://chat.example.org") as client:
            await client.settle()
        for origin in ("https://chat.example.org.evil.example", "http://chat.example.org", "null"):
            assert await refusal(f"{node.ws_url}?token={user.token}", origin=origin) == (4003, "forbidden")


async def test_any_origin_may_connect_where_the_operator_says_so_but_not_null(tmp_path: Path) -> None:
    with Node(make_settings(data_dir=tmp_path, allowed_origins=("*",))) as node:
        user = await a_user(node)
        async with user.socket(origin="https://anywhere.example") as client:
            await client.settle()
        assert await refusal(f"{node.ws_url}?token={user.token}", origin="null") == (4003, "forbidden")


# --- The first frame ----------------------------------------------------------------------------------


async def test_connected_is_the_first_frame_and_tells_the_limits(server: Node) -> None:
    user = await a_user(server)
    chat_id = await a_group(user)
    async with user.socket() as client, user.socket() as second:
        await user.say(chat_id, "Hello")
        await client.expect("new_message")
        first = client.frames[0]
        assert first.keys() == {
            "type", "connection_id", "user_id", "server_time", "heartbeat_s", "epoch", "limits"
        }  # fmt: skip
        assert next(iter(first)) == "type"
        assert first["heartbeat_s"] == 20
        assert first["connection_id"] != second.frames[0]["connection_id"]
        assert first["limits"] == {
            "frame_bytes": 262144,
            "frames_per_s": None,
            "connections_per_user": None,
            "outbound_bytes": 1048576,
            "message_chars": 10000,
            "participants": 5000,
        }
        assert abs(datetime.now(UTC) - datetime.fromisoformat(first["server_time"])) < timedelta(seconds=30)
        info = await user.get("/info")
        assert (info["limits"], info["version"]) == (first["limits"], __version__)
        assert first["epoch"] == (await user.get(f"/chats/{chat_id}"))["epoch"]


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Node]:
    with Node(make_settings(data_dir=tmp_path, **LIMITS_ON)) as node:
        yield node


async def test_limits_that_are_on_are_told(limited: Node) -> None:
    async with (await a_user(limited)).socket() as client:
        limits = client.frames[0]["limits"]
        assert limits["connections_per_user"] == CONNECTIONS_PER_USER == 20
        assert limits["frames_per_s"] == 100


async def test_the_oldest_of_too_many_connections_goes(limited: Node) -> None:
    user, other = await a_user(limited), await a_user(limited)
    async with contextlib.AsyncExitStack() as stack:
        bystander = await stack.enter_async_context(other.socket())
        clients = [await stack.enter_async_context(user.socket()) for _ in range(CONNECTIONS_PER_USER)]
        await asyncio.gather(*(client.settle() for client in clients))
        for number in range(2):
            clients.append(await stack.enter_async_context(user.socket()))
            assert await clients[number].closed() == (4009, "too_many_connections")
        for client in (*clients[2:], bystander):
            await client.settle()


async def test_a_refused_handshake_costs_nobody_a_connection(limited: Node) -> None:
    user = await a_user(limited)
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(user.socket()) for _ in range(CONNECTIONS_PER_USER)]
        for _ in range(3):
            assert await refusal(f"{limited.ws_url}/999?token={user.token}") == (4003, "not_found")
            assert await refusal(f"{limited.ws_url}?token={forge(user.token)}") == (4001, "unauthenticated")
        for client in clients:
            await client.settle()


# --- A node that is going or broken -------------------------------------------------------------------


async def test_a_draining_node_sends_clients_away(tmp_path: Path) -> None:
    with Node(make_settings(data_dir=tmp_path)) as node:
        user = await a_user(node)
        node.services.readiness.is_draining = True
        assert await refusal(f"{node.ws_url}?token={user.token}") == (1012, "server_restarting")
        assert await refusal(node.ws_url) == (1012, "server_restarting")
        assert (await user.http.get(f"{node.url}/readyz")).status_code == 503


async def test_a_defect_during_a_handshake_closes_with_1011_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    """Nothing of ours is mocked: a table is missing."""
    with Node(make_settings(data_dir=tmp_path)) as node:
        ann, ben = await a_user(node), await a_user(node)
        chat_id = await a_direct_chat(ann, ben)
        async with ben.socket() as client:
            for table in ("participants", "sessions"):
                _rename(tmp_path / "metadata.db", table, f"{table}_away")
                assert await refusal(f"{node.ws_url}?token={ann.token}") == (1011, "internal")
                _rename(tmp_path / "metadata.db", f"{table}_away", table)
            await _until(lambda: node.services.manager.count() == 1)
            assert not node.services.manager._opening
            await client.settle()
            assert client.pushes("user_online") == []
            assert (await ben.get(f"/chats/{chat_id}/online"))["user_ids"] == [ben.id]


def _rename(database: Path, old: str, new: str) -> None:
    with contextlib.closing(sqlite3.connect(database, timeout=5, isolation_level=None)) as connection:
        connection.execute("PRAGMA legacy_alter_table=ON")
        connection.execute(f"ALTER TABLE {old} RENAME TO {new}")


async def _until(is_met: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not is_met():  # noqa: ASYNC110 - the node lives on another loop
            await asyncio.sleep(0.001)


# --- Races --------------------------------------------------------------------------------------------

ROUNDS = 25


async def _pause(number: int) -> None:
    """Spread the other side of a race over the time that a handshake takes."""
    await asyncio.sleep(number / ROUNDS * 0.02)


async def test_a_logout_during_a_handshake_is_never_missed(server: Node) -> None:
    user = await a_user(server)
    for number in range(ROUNDS):
        answer = await user.http.post(
            "/users/login", json={"username": user.username, "password": user.password}
        )
        token = answer.json()["access_token"]
        client = ChatClient(server.ws_url, token=token)
        opening = asyncio.create_task(client.open())
        await _pause(number)
        headers = {"Authorization": f"Bearer {token}"}
        assert (await user.http.post("/auth/logout", headers=headers)).status_code == 204
        if opening.done():
            await opening
            assert await client.closed() == (4001, "session_revoked")
        else:
            await _await_end(client, opening)
            assert client.socket is not None
            assert (client.socket.close_code, client.socket.close_reason) == (4001, "session_revoked")
        await client.close()


async def _await_end(client: ChatClient, opening: asyncio.Task[Any]) -> None:
    """The socket's end, whether or not it was connected before."""
    await _until(lambda: client._reader is not None)
    await client.closed()
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)


async def test_a_removal_during_a_handshake_is_never_missed(server: Node) -> None:
    ann, ben = await some_users(server, 2)
    for number in range(ROUNDS):
        chat_id = await a_group(ann, ben)
        client, of_chat = ben.socket(), ben.socket(f"/{chat_id}")
        opening = asyncio.gather(client.open(), asyncio.create_task(_open_quietly(of_chat)))
        await _pause(number)
        await ann.delete(f"/chats/{chat_id}/participants/{ben.id}")
        await opening
        assert await of_chat.closed() == (4003, "not_found")
        await ann.say(chat_id, "He is gone")
        await client.settle()
        about = [frame for frame in client.frames if frame.get("chat_id") == chat_id]
        assert about == [] or about[-1]["type"] == "user_left"
        assert (await client.call("typing", chat_id=chat_id, is_typing=True))["code"] == "not_found"
        await asyncio.gather(client.close(), of_chat.close())


async def _open_quietly(client: ChatClient) -> None:
    """Open a socket that may be closed before it is connected."""
    opening = asyncio.create_task(client.open())
    await _until(lambda: client._reader is not None)
    assert client._reader is not None
    await asyncio.wait({opening, client._reader}, return_when=asyncio.FIRST_COMPLETED)
    if not opening.done():
        opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)


async def test_who_is_added_during_a_handshake_hears_the_chat(server: Node) -> None:
    ann, ben = await some_users(server, 2)
    for number in range(ROUNDS):
        chat_id = await a_group(ann)
        client = ben.socket()
        opening = asyncio.create_task(client.open())
        await _pause(number)
        await ann.post(f"/chats/{chat_id}/participants", {"user_ids": [ben.id]}, 200)
        await opening
        said = await ann.say(chat_id, "Welcome")
        assert (await client.expect("new_message", chat_id=chat_id))["message"] == said
        about = [frame["version"] for frame in client.frames if frame.get("chat_id") == chat_id]
        assert about in ([2, 3], [3])
        await client.close()


async def test_messages_during_a_handshake_leave_no_gap_that_the_client_could_not_see(server: Node) -> None:
    """Connect first, then read: what the read does not show comes as a push."""
    ann, ben = await some_users(server, 2)
    chat_id = await a_direct_chat(ann, ben)

    async def keep_saying() -> None:
        for number in range(150):
            await ann.say(chat_id, f"{number}")

    saying = asyncio.create_task(keep_saying())
    rounds = 0
    while not saying.done():
        rounds += 1
        async with ben.socket() as client:
            version = (await ben.get(f"/chats/{chat_id}"))["version"]
            await asyncio.sleep(0.01)
            await client.settle()
            pushed = [frame["version"] for frame in client.pushes("new_message")]
            newer = [one for one in pushed if one > version]
            assert pushed == list(range(pushed[0], pushed[0] + len(pushed))) if pushed else True
            assert newer == list(range(version + 1, version + 1 + len(newer)))
    await saying
    assert rounds > 3


async def test_clients_that_vanish_during_the_handshake_leave_nothing_behind(server: Node) -> None:
    user = await a_user(server)
    before = server.services.manager.count()
    request = (
        f"GET /api/v1/ws?token={user.token} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    for number in range(30):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request.encode())
        await asyncio.sleep(number % 10 * 0.001)
        writer.transport.abort() if number % 2 else writer.close()
    await _until(lambda: server.services.manager.count() == before)
    assert not server.services.manager._opening
    async with user.socket() as client:
        await client.settle()
