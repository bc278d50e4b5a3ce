"""No token, ticket, password or text of anybody reaches a log, at the most talkative level."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.builders import TestUser, a_direct_chat, a_user, close_clients
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
TEXT = "a very private sentence 4711"


class Server:
    """A node as a process of its own, all of its output in one file."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.ws_url = f"ws://127.0.0.1:{port}/api/v1/ws"
        self.log = folder / "log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CHAT_")}
        settings = {"CHAT_LOG_LEVEL": "debug", "CHAT_DATA_DIR": str(folder / "data")}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "chat_service", "serve", "--port", str(port)],
                cwd=ROOT,
                env=clean | settings,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self) -> None:
        for _ in range(200):
            try:
                httpx2.get(f"{self.url}/livez")
            except httpx2.TransportError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(self.log.read_text())

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(20) == 0


async def _connect_every_way(server: Server, user: TestUser) -> list[str]:
    """Open and close a socket with each credential, good and bad; the secrets that were used."""
    ticket = (await user.post("/auth/ws-ticket", status=200))["ticket"]
    bad = f"{user.token}x"
    ways = [
        {"uri": f"{server.ws_url}?token={user.token}"},
        {"uri": f"{server.ws_url}?token={bad}"},
        {"uri": f"{server.ws_url}?ticket={ticket}"},
        {"uri": f"{server.ws_url}/1?foo=1&token={user.token}"},
        {"uri": server.ws_url, "additional_headers": {"Authorization": f"Bearer {user.token}"}},
        {"uri": server.ws_url, "subprotocols": ["chat.v1", f"bearer.{user.token}"]},
    ]
    for way in ways:
        async with connect(**way, proxy=None) as socket:  # type: ignore[arg-type]
            try:
                await socket.recv()
                await socket.send(json.dumps({"type": "authenticate", "token": user.token}))
                await socket.recv()
            except ConnectionClosed:
                pass
    return [ticket, bad]


async def test_the_logs_of_a_busy_node_hold_no_secret(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.wait()
    try:
        ann, ben = await a_user(server), await a_user(server)
        chat_id = await a_direct_chat(ann, ben)
        sent = await ann.say(chat_id, TEXT)
        await ann.put(f"/messages/{sent['id']}", {"content": f"{TEXT} edited"})
        wrong = {"username": ann.username, "password": "a wrong pass phrase"}
        assert (await ann.http.post("/users/login", json=wrong)).status_code == 401
        await ann.http.post("/users/login", content='{"password":"broken json pass')
        refreshed = await ann.post("/auth/refresh", {"refresh_token": ann.refresh_token}, status=200)
        await ann.http.get(f"/users/me?access_token={ann.token}")
        secrets = await _connect_every_way(server, ann)
        new = {"current_password": ann.password, "new_password": "another pass phrase"}
        await ann.put("/users/me/password", new, status=204)
        await ben.post("/auth/logout", status=204)
    finally:
        await close_clients()
        server.stop()

    log = server.log.read_text()
    assert '"path":"/api/v1/users/login"' in log
    assert "WebSocket" in log
    secrets += [ann.token, ann.refresh_token, ben.token, ben.refresh_token, refreshed["access_token"]]
    secrets += [refreshed["refresh_token"], ann.password, *wrong.values(), *new.values(), TEXT, "broken json"]
    secrets.remove(ann.username)
    for secret in secrets:
        assert secret not in log
    signatures = {secret.rpartition(".")[2] for secret in secrets if secret.count(".") == 2}
    assert len(signatures) >= 3
    for signature in signatures:
        assert signature not in log


@pytest.mark.parametrize("name", ["CHAT_SECRET_KEY", "CHAT_DATABASE_URL"])
def test_a_refused_setting_does_not_show_its_value(name: str, tmp_path: Path) -> None:
    value = "short-secret" if name == "CHAT_SECRET_KEY" else "mysql://root:hunter2hunter2@db/chat"
    result = subprocess.run(
        [sys.executable, "-m", "chat_service", "serve"],
        cwd=ROOT,
        env={**os.environ, name: value, "CHAT_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert result.returncode == 2
    assert name in result.stderr
    assert value not in result.stderr + result.stdout
    assert "hunter2" not in result.stderr
